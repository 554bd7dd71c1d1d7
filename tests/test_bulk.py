"""Bulk transcription: shards that divide any input, rows in order, a folder of shards that survives everything."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, fresh_recognizer
from hypothesis import given
from hypothesis import strategies as st
from oracles import random_waveforms

from asr.cluster.bulk import plan_shards, transcribe_rows
from asr.corpus.manifest import read_manifest, write_manifest
from asr.exporting.onnx import to_onnx
from asr.recognition.recognizer import Recognizer
from asr.runtime.recognizer import ExportedRecognizer
from asr.utterance import Utterance

LINES = 13  # of the input, of which two cannot be read
durations = st.lists(st.one_of(st.floats(0, 1e6), st.sampled_from([0.0, 1e-9, 1.0, 1e7])), max_size=40)


@given(durations, st.integers(1, 60))
def test_shards_divide_any_input_by_seconds(seconds: list[float], count: int) -> None:
    shards = plan_shards(seconds, count)
    assert len(shards) == count
    assert [line for shard in shards for line in shard] == list(range(len(seconds)))
    for shard in shards:
        assert abs(sum(seconds[line] for line in shard) - sum(seconds) / count) <= max(seconds, default=0.0) * 1.001
    assert shards == plan_shards(seconds, count)


@given(st.lists(st.one_of(st.none(), st.floats(0.1, 100)), max_size=40), st.integers(1, 60))
def test_shards_divide_by_lines_if_a_duration_is_unknown(seconds: list[float | None], count: int) -> None:
    shards = plan_shards([None, *seconds], count)
    assert [line for shard in shards for line in shard] == list(range(len(seconds) + 1))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write `model.onnx` of random weights, and `input.jsonl`, of which two lines cannot be read."""
    folder = tmp_path_factory.mktemp("bulk")
    (folder / "model.onnx").write_bytes(to_onnx(fresh_recognizer()))
    waves = random_waveforms(0, LINES)
    lines = []
    for number, wave in enumerate(waves):
        path = folder / "audio" / f"{number:02}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, wave, RATE, subtype="PCM_16")
        extra = {"day": number} | ({"hypothesis": "old", "error": "old"} if number == 3 else {})
        lines.append(Utterance(f"line-{number}", path, "abc", 0.0, len(wave) / RATE, f"speaker {number % 3}", extra))
    lines[4] = replace(lines[4], audio=folder / "audio" / "missing.wav")
    lines[9].audio.write_bytes(b"RIFF and nothing else")
    write_manifest(folder / "input.jsonl", lines)
    return folder


def test_rows_keep_order_and_place(folder: Path) -> None:
    model, utterances = ExportedRecognizer.load(folder / "model.onnx"), read_manifest(folder / "input.jsonl")
    rows = list(transcribe_rows(model, utterances, folder=folder / "out"))
    assert [row["id"] for row in rows] == [f"line-{number}" for number in range(LINES)]
    failed = [number for number, row in enumerate(rows) if "error" in row]
    assert failed == [4, 9] and all("hypothesis" not in rows[number] for number in failed)
    assert rows[3]["hypothesis"] != "old" and rows[0] == {
        "id": "line-0",
        "audio_filepath": "../audio/00.wav",
        "text": "abc",
        "duration": utterances[0].duration,
        "speaker": "speaker 0",
        "day": 0,
        "hypothesis": model.transcribe(folder / "audio" / "00.wav").text,
    }
    assert rows[4]["error"].startswith(str(folder / "audio" / "missing.wav")) and rows[4]["text"] == "abc"


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_rows_of_parts_are_the_rows_of_the_whole(folder: Path, count: int) -> None:
    """The filter of a speaker comes from all lines, also from lines of other shards."""
    plain = fresh_recognizer()
    features = plain.config.features.model_copy(update={"equalize": True})
    torch_model = Recognizer(plain.config.model_copy(update={"features": features}), plain.units)
    torch_model.acoustic_model.load_state_dict(plain.acoustic_model.state_dict())
    utterances = read_manifest(folder / "input.jsonl")
    shards = plan_shards([one.duration for one in utterances], count)
    for model in (torch_model, ExportedRecognizer.load(folder / "model.onnx")):
        whole = list(transcribe_rows(model, utterances, folder=folder))
        parts = [row for part in shards for row in transcribe_rows(model, utterances, folder=folder, part=part)]
        assert parts == whole
        assert len({row.get("hypothesis") for row in whole}) > LINES / 2
