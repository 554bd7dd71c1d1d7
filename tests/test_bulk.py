"""Bulk transcription as a library: shards divide any input, and rows keep their order and place."""

from dataclasses import replace
from pathlib import Path

import pytest
from bulk_input import FAILED, LINES, write_input
from conftest import fresh_recognizer
from hypothesis import given
from hypothesis import strategies as st

from asr.cluster.bulk import plan_shards, transcribe_rows
from asr.cluster.job import File, Job, Options
from asr.cluster.merge import ranges
from asr.corpus.manifest import read_manifest
from asr.recognition.recognizer import Recognizer
from asr.runtime.recognizer import ExportedRecognizer

durations = st.lists(st.one_of(st.floats(0, 1e6), st.sampled_from([0.0, 1e-9, 1.0, 1e7])), max_size=40)


@given(durations, st.integers(1, 60))
def test_shards_divide_any_input_by_seconds(seconds: list[float], count: int) -> None:
    shards = plan_shards(seconds, count)
    assert len(shards) == count
    assert [line for shard in shards for line in shard] == list(range(len(seconds)))
    for shard in shards:
        assert abs(sum(seconds[line] for line in shard) - sum(seconds) / count) <= max(seconds, default=0.0) + 1e-6
    assert shards == plan_shards(seconds, count)


@given(st.lists(st.one_of(st.none(), st.floats(0.1, 100)), max_size=40), st.integers(1, 60))
def test_shards_divide_by_lines_if_a_duration_is_unknown(seconds: list[float | None], count: int) -> None:
    shards = plan_shards([None, *seconds], count)
    assert [line for shard in shards for line in shard] == list(range(len(seconds) + 1))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bulk input")
    write_input(folder)
    return folder


def test_rows_keep_order_and_place(place: Path) -> None:
    model, utterances = ExportedRecognizer.load(place / "model.onnx"), read_manifest(place / "input.jsonl")
    rows = list(transcribe_rows(model, utterances, folder=place / "out"))
    assert [row["id"] for row in rows] == [f"line-{number}" for number in range(LINES)]
    failed = [number for number, row in enumerate(rows) if "error" in row]
    assert failed == list(FAILED) and all("hypothesis" not in rows[number] for number in failed)
    assert rows[0] == {
        "id": "line-0",
        "audio_filepath": "../audio/00.wav",
        "text": "abc",
        "duration": utterances[0].duration,
        "speaker": "speaker 0",
        "day": 0,
        "hypothesis": model.transcribe(place / "audio" / "00.wav").text,
    }
    assert rows[4]["error"].startswith(str(place / "audio" / "04.wav")) and rows[4]["text"] == "abc"


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_rows_of_parts_are_the_rows_of_the_whole(place: Path, count: int) -> None:
    """The filter of a speaker comes from all lines, also from lines of other shards."""
    plain = fresh_recognizer()
    features = plain.config.features.model_copy(update={"equalize": True})
    torch_model = Recognizer(plain.config.model_copy(update={"features": features}), plain.units)
    torch_model.acoustic_model.load_state_dict(plain.acoustic_model.state_dict())
    utterances = read_manifest(place / "input.jsonl")
    shards = plan_shards([one.duration for one in utterances], count)
    for model in (torch_model, ExportedRecognizer.load(place / "model.onnx")):
        whole = list(transcribe_rows(model, utterances, folder=place))
        parts = [row for part in shards for row in transcribe_rows(model, utterances, folder=place, part=part)]
        assert parts == whole
        assert len({row.get("hypothesis") for row in whole}) > LINES / 2


def test_what_an_earlier_run_added_is_replaced(place: Path) -> None:
    """So an errors.jsonl can be transcribed again, with another model or from recordings that were repaired."""
    model, utterances = ExportedRecognizer.load(place / "model.onnx"), read_manifest(place / "input.jsonl")
    old = [replace(one, extra={"hypothesis": "old", "error": "old", "day": 1}) for one in utterances[3:5]]
    done, failed = transcribe_rows(model, old, folder=place)
    assert done["hypothesis"] != "old" and "error" not in done and list(done)[-2:] == ["day", "hypothesis"]
    assert "hypothesis" not in failed and "no such file" in failed["error"] and list(failed)[-2:] == ["day", "error"]


def test_ranges() -> None:
    assert ranges([]) == "" and ranges([2]) == "2" and ranges([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"


def test_differences_between_jobs_are_named() -> None:
    file, other = File(path="m.onnx", sha256="a" * 64), File(path="n.onnx", sha256="c" * 64)
    job = Job(model=file, inputs=(file,), options=Options(), count=3)
    assert job.differences(job.model_copy(update={"model": File(path="moved.onnx", sha256="a" * 64)})) == []
    for changes, text in (
        ({"model": other}, "the model was m.onnx (SHA-256 aaaaaaaa), now n.onnx (SHA-256 cccccccc)"),
        ({"inputs": (other, file)}, "input was m.onnx (SHA-256 aaaaaaaa), now n.onnx (SHA-256 cccccccc) and m.onnx ("),
        ({"inputs": ()}, "the input was m.onnx (SHA-256 aaaaaaaa), now nothing"),
        ({"options": Options(nbest=2)}, "--nbest was 0, now 2"),
        ({"options": Options(channels="split")}, "--channels was mix, now split"),
        ({"options": Options(salvage=True)}, "--salvage was False, now True"),
        ({"options": Options(device="cuda")}, "--device was not given, now cuda"),
        ({"options": Options(phrases=file)}, "--phrases was not given, now m.onnx (SHA-256 aaaaaaaa)"),
        ({"count": 4}, "the number of shards was 3, now 4"),
    ):
        (found,) = job.differences(job.model_copy(update=changes))
        assert text in found
