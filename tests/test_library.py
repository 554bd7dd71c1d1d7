"""The library as clients use it: every kind of recording, lists of them, options of a call, results, types."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import REPOSITORY, fresh_recognizer
from oracles import random_waveforms

import asr
from asr.classifier import Classifier
from asr.errors import AudioError, ModelFileError, TextError
from asr.recognition.recognizer import Recognizer
from asr.transcript import Transcript

RATE = 8000


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return fresh_recognizer()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("library") / "one.wav"
    soundfile.write(path, random_waveforms(3, 1)[0], RATE, subtype="PCM_16")
    return path


def words_of(transcript: Transcript) -> list[tuple[str, float, float]]:
    return [(word.text, word.start, word.end) for word in transcript.words]


def kinds_of(path: Path) -> dict[str, object]:
    """Return one sound in every form that a client may hold it in."""
    int16, _ = soundfile.read(path, dtype="int16")
    float64, _ = soundfile.read(path)
    return {
        "str": str(path),
        "Path": path,
        "bytes": path.read_bytes(),
        "bytearray": bytearray(path.read_bytes()),
        "BytesIO": io.BytesIO(path.read_bytes()),
        "(rate, int16)": (RATE, int16),
        "(float64, rate)": (float64, RATE),
        "(rate, float32)": (RATE, float64.astype(np.float32)),
        "(rate, 16 bits in int32)": (RATE, int16.astype(np.int32)),
        "(rate, 16 bits in int64)": (RATE, int16.astype(np.int64)),
        "(rate, 32 bits)": (RATE, int16.astype(np.int32) * 2**16),
        "(rate, uint16)": (RATE, (int16.astype(np.int32) + 2**15).astype(np.uint16)),
        "(rate, tensor)": (RATE, torch.from_numpy(float64)),
        "(rate, int16 tensor)": (RATE, torch.from_numpy(int16)),
        "(rate, one channel)": (RATE, float64[None]),
        "Hugging Face": {"array": float64, "sampling_rate": RATE, "path": "one.wav"},
        "Hugging Face, list": {"array": float64.tolist(), "sampling_rate": RATE},
        "Hugging Face, bytes": {"bytes": path.read_bytes(), "path": None},
        "Hugging Face, path": {"bytes": None, "path": str(path)},
    }


def test_every_kind_of_recording_has_the_same_transcript(recognizer: Recognizer, recording: Path) -> None:
    expected = recognizer.transcribe(recording)
    assert expected.text and expected.audio == recording
    for name, kind in kinds_of(recording).items():
        assert words_of(recognizer.transcribe(kind)) == words_of(expected), name
    samples, _ = soundfile.read(recording)
    assert words_of(recognizer.transcribe(samples, RATE)) == words_of(expected)
    with recording.open("rb") as file:
        assert words_of(recognizer.transcribe(file)) == words_of(expected)


def test_a_list_is_an_iterator_of_transcripts(recognizer: Recognizer, recording: Path) -> None:
    kinds = list(kinds_of(recording).values())
    expected = words_of(recognizer.transcribe(recording))
    found = recognizer.transcribe([*kinds, *[RATE * np.ones(3)] * 0])
    assert isinstance(found, Iterator) and not isinstance(found, list)
    assert all(words_of(transcript) == expected for transcript in found)
    generated = recognizer.transcribe(path for path in [recording, recording])
    assert [words_of(transcript) for transcript in generated] == [expected] * 2
    waveforms = random_waveforms(5, 4)
    together = recognizer.transcribe(waveforms, RATE)
    assert [words_of(one) for one in together] == [words_of(recognizer.transcribe(w, RATE)) for w in waveforms]
    assert list(recognizer.transcribe([])) == []


def test_progress_of_a_list(recognizer: Recognizer, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advanced = []
    monkeypatch.setattr("asr.recognition.transcriber.ProgressBar.advance", lambda *_, **__: advanced.append(1))
    assert len(list(recognizer.transcribe([recording] * 3, progress=True))) == 3 == len(advanced)


def test_a_bad_recording_of_a_list_is_raised_or_returned(recognizer: Recognizer, recording: Path) -> None:
    several = [recording, b"no recording", recording, recording.with_name("gone.wav"), np.zeros(5)]
    found = list(recognizer.transcribe(several, errors="return"))
    assert [type(one) for one in found] == [Transcript, AudioError, Transcript, AudioError, AudioError]
    assert "recording 2: bytes: is not a recording" in str(found[1]) and "gone.wav: no such file" in str(found[3])
    assert "recording 5: an array without a sample rate" in str(found[4])
    before = recognizer.transcribe(several)
    assert next(before).text == found[0].text  # type: ignore[union-attr]
    with pytest.raises(AudioError, match="recording 2: bytes"):
        next(before)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((2, 8000)), r"shape \(2, 8000\): several recordings, or the channels of one\?"),
        ((RATE, [np.zeros(9), np.zeros(9)]), "recording 1: a int is no recording"),
        ((RATE, np.zeros(8000, bool)), "its type is bool"),
        ((RATE, np.zeros(8000, complex)), "its type is complex128"),
        ((RATE, np.full(80, 2**40)), "values up to 1099511627776;"),
        ({"text": "a"}, "a record with the keys text"),
        (io.StringIO("x"), "opened as text"),
        (7, "a int is no recording"),
        ([0.1, 0.2], "recording 1: a float is no recording"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_cure(recognizer: Recognizer, wrong: object, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        found = recognizer.transcribe(wrong, RATE if isinstance(wrong, np.ndarray) else None)  # type: ignore[call-overload]
        list(found)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), 10**30, "8000", [8000]])
def test_rates_that_are_none(recognizer: Recognizer, rate: object) -> None:
    with pytest.raises(AudioError, match="must be a positive number of Hz, at most 10000000; pass the true rate"):
        recognizer.transcribe(np.zeros(8000, np.float32), rate)  # type: ignore[call-overload]


def test_options_of_a_call(recognizer: Recognizer, tmp_path: Path) -> None:
    left, right = (np.concatenate(random_waveforms(seed, 6)) for seed in (6, 7))
    size = min(len(left), len(right))
    left, right = left[:size], right[:size]
    stereo = np.stack([left, right])
    path = tmp_path / "stereo.wav"
    soundfile.write(path, stereo.T, RATE, subtype="PCM_16")
    for source in (path, (RATE, stereo)):
        second = recognizer.transcribe(source, channel=2)
        assert second.channel == 2 and second.text == recognizer.transcribe(right, RATE).text
        assert recognizer.transcribe(source, channel="mix").text == recognizer.transcribe(path).text
    for source in (path, (RATE, stereo)):
        part = recognizer.transcribe(source, channel=1, start=0.5, end=1.25)
        alone = recognizer.transcribe(left[round(0.5 * RATE) : round(1.25 * RATE)], RATE)
        assert part.duration == 0.75 and part.text == alone.text
        assert [word.start - 0.5 for word in part.words] == pytest.approx([word.start for word in alone.words])
    with pytest.raises(AudioError, match="start=1, end=1: must be seconds"):
        recognizer.transcribe(path, start=1, end=1)
    listed = recognizer.transcribe(left, RATE, nbest=3)
    assert len(listed.nbest) == 3 and listed.nbest[0].text == listed.text
    phrases = recognizer.transcribe(left, RATE, phrases=["ab", "{x} b", "{x} = c | a"], nbest=4)
    assert phrases.posterior is not None and {one.text for one in phrases.nbest} == {"ab", "c b", "a b", ""}
    favoured = recognizer.transcribe(left, RATE, hotwords=[f"{listed.nbest[1].text}\t6"])
    assert favoured.unbiased == listed.text and favoured.text == listed.nbest[1].text
    with pytest.raises(TextError, match="hotwords:1: 'xyz' holds"):
        recognizer.transcribe(left, RATE, hotwords=["xyz"])


def test_without_the_language_model(recognizer: Recognizer) -> None:
    from asr.decoding.decoder import Decoder
    from asr.lm.estimate import estimate

    (samples,) = random_waveforms(8, 1)
    plain = recognizer.transcribe(samples, RATE)
    assert recognizer.transcribe(samples, RATE, language_model=False) == plain
    other = fresh_recognizer()
    other.decoder = Decoder(other.units, characters=estimate(["ccc ccc"] * 9, units="characters").model)
    other.decoder = other.decoder.using(weights=other.decoder.weights._replace(lm=9.0))
    assert other.transcribe(samples, RATE).text != plain.text
    assert other.transcribe(samples, RATE, language_model=False).text == plain.text


def test_transcripts_as_data_and_as_files(recognizer: Recognizer, recording: Path, tmp_path: Path) -> None:
    transcript = recognizer.transcribe(recording, nbest=2)
    data = json.loads(json.dumps(transcript.to_dict(), allow_nan=False))
    assert data["text"] == transcript.text == str(transcript) and len(data["nbest"]) == 2
    assert [word["text"] for word in data["words"]] == transcript.text.split()
    assert " ".join(segment["text"] for segment in data["segments"]) == transcript.text
    first = transcript.segments[0]
    assert first.start <= first.words[0].start < first.words[-1].end <= first.end and 0 < first.confidence <= 1
    for suffix in ("txt", "json", "jsonl", "srt", "vtt", "tsv", "ctm", "TextGrid", "eaf"):
        transcript.save(tmp_path / f"out.{suffix}")
        assert (tmp_path / f"out.{suffix}").stat().st_size > 0
    assert "-->" in (tmp_path / "out.srt").read_text() and "one.wav" in (tmp_path / "out.eaf").read_text()
    with pytest.raises(asr.AsrError, match=r"out.doc: its suffix names no output format; there are txt, json"):
        transcript.save(tmp_path / "out.doc")


def test_models_of_every_task_load_and_tell_what_they_are(recognizer: Recognizer, tmp_path: Path) -> None:
    recognizer.save(tmp_path / "speech.safetensors")
    classes = Classifier(recognizer.config.model_copy(update={"task": "classification"}), ["ab", "c"])
    classes.save(tmp_path / "classes.safetensors")
    speech = asr.load(tmp_path / "speech.safetensors", device="cpu")
    assert repr(speech) == "<Recognizer: 5 units, 8000 Hz, 2 x 8 bidirectional lstm, cpu>"
    classifier = asr.load(str(tmp_path / "classes.safetensors"), device="cpu")
    assert repr(classifier) == "<Classifier: 2 classes, 8000 Hz, 2 x 8 bidirectional lstm, cpu>"
    classifier.summary["training_hours"] = 1
    assert repr(classifier) == "<Classifier: 2 classes, 8000 Hz, 2 x 8 bidirectional lstm, cpu, trained on 1.00 h>"
    with pytest.raises(ModelFileError, match="was trained for classification; use it with `asr classify`"):
        asr.load(tmp_path / "classes.safetensors", kind=asr.Recognizer)
    with pytest.raises(ModelFileError, match=r"gone.safetensors: no such model file"):
        asr.load(tmp_path / "gone.safetensors")
    with pytest.raises(ModelFileError, match=r"is a folder; name the model file in it, such as .*model\.safetensors"):
        asr.load([tmp_path])


def test_functions_at_top_level_take_a_model_or_its_path(
    recognizer: Recognizer, recording: Path, tmp_path: Path
) -> None:
    file = tmp_path / "speech.safetensors"
    recognizer.save(file)
    expected = recognizer.transcribe(recording)
    assert words_of(asr.transcribe(recognizer, recording)) == words_of(asr.transcribe(file, recording))
    assert [one.text for one in asr.transcribe(file, [recording, recording])] == [expected.text] * 2
    found = asr.align(file, recording.read_bytes(), expected.text)
    assert [word.text for word in found.transcript.words] == expected.text.split() and found.unspoken == ()
    classes = Classifier(recognizer.config.model_copy(update={"task": "classification"}), ["ab", "c"])
    one, (other,) = asr.classify(classes, recording), asr.classify(classes, [recording.read_bytes()])
    assert one == other and one.label in ("ab", "c")


CLIENT = """
import asr

model = asr.load("digits.safetensors", kind=asr.Recognizer)
for word in model.transcribe("one.wav", nbest=2).words:
    print(f"{word.start:.2f} {word.text.upper()} {word.confidence:.0%}")
texts: list[str] = [transcript.text for transcript in model.transcribe(["a.wav", b"RIFF"], progress=True)]
model.transcribe("one.wav").save("one.srt")
print(asr.score(["nine"], texts).wer.percent)
"""


@pytest.mark.parametrize(
    "checker", [["mypy", "--strict"], ["pyright", "--pythonpath", sys.executable]], ids=lambda c: c[0]
)
def test_a_client_script_is_typed(checker: list[str], tmp_path: Path) -> None:
    """A type checker trusts the annotations of the library, since the package has `py.typed`."""
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    wrong = tmp_path / "wrong.py"
    wrong.write_text(CLIENT.replace("word.text.upper()", "word.txt.upper()"))
    pytest.importorskip(checker[0])
    command = [sys.executable, "-m", *checker]
    environment = {"PATH": "/usr/bin:/bin", "MYPYPATH": "", "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)}
    done = subprocess.run([*command, str(script)], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([*command, str(wrong)], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1 and "txt" in done.stdout


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    code = "import sys; sys.modules['torch'] = None; import asr; asr.Transcript; asr.load; asr.Recognizer"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "asr.errors.AsrError: asr.Recognizer needs PyTorch, which is not installed: pip install 'own-asr[train]'"
    )
