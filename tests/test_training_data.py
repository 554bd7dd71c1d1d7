"""Training data: unusable utterances are left out by name, and units are learned, listed and doubted."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import train_config

from asr.config import Config, TextConfig
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import TextError, TrainingError
from asr.text import Units
from asr.training.data import open_data
from asr.training.train import train


def test_what_cannot_be_trained_on_is_named_and_left_out(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    utterances = read_manifest(tones / "train.jsonl")
    (tmp_path / "broken.wav").write_text("no recording")
    utterances[0] = replace(utterances[0], audio=tmp_path / "broken.wav")
    utterances[1] = replace(utterances[1], audio=tmp_path / "missing.wav")
    utterances[2] = replace(utterances[2], text="abca" * 40)
    write_manifest(tmp_path / "train.jsonl", utterances)
    validation = read_manifest(tones / "validation.jsonl")
    validation[0] = replace(validation[0], text="abx")
    write_manifest(tmp_path / "validation.jsonl", validation)
    with pytest.raises(TrainingError, match="strict"):
        train(train_config(tmp_path, epochs=1), tmp_path / "run", strict=True)
    assert "infeasible for CTC" in capsys.readouterr().err  # refused, with the reasons
    train(train_config(tmp_path, epochs=1), tmp_path / "run")
    said = capsys.readouterr().err
    assert (
        "left out 1 utterance, unreadable" in said
        and "broken.wav (" in said
        and "train.jsonl:1): is not a recording" in said
    )
    assert "left out 1 utterance, missing audio" in said and "train.jsonl:2): no such file" in said
    assert "left out 1 utterance, infeasible for CTC" in said
    assert "train.jsonl:3): 160 units + 39 repeats need 199 frames, the audio gives" in said
    assert "training on 93 utterances" in said
    assert "'x' (U+0078, LATIN SMALL LETTER X) 1 time" in said


def test_nfc_and_nfd_copies_give_the_same_model(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFC and NFD text and units files give equal bytes; other units give other bytes."""
    spelt = str.maketrans({"a": "é", "b": "ɛ\u0301 ", "c": "o\u0323\u0301"})
    settings = {form: train_config(Path(), epochs=1, precision="fp32") for form in ("NFC", "NFD", "graphemes")}
    for form, setting in settings.items():
        (tmp_path / form).mkdir()
        monkeypatch.chdir(tmp_path / form)
        normal = "NFD" if form == "NFD" else "NFC"
        for name in ("train", "validation"):
            utterances = read_manifest(tones / f"{name}.jsonl")[:16]
            texts = (unicodedata.normalize(normal, (u.text or "").translate(spelt)) for u in utterances)
            write_manifest(f"{name}.jsonl", [replace(u, text=text) for u, text in zip(utterances, texts, strict=True)])
        units = ["é", "ɛ\u0301", "\u1ecd\u0301"]
        Path("units.txt").write_text(unicodedata.normalize(normal, "\n".join(units)), encoding="utf-8")
        text = {"units": "graphemes"} if form == "graphemes" else {"units_file": "units.txt"}
        setting = Config.model_validate({**setting.model_dump(), "text": text})
        assert train(setting, "run").units.symbols == (" ", *(units if form != "graphemes" else sorted(units)))
    models = {form: (tmp_path / form / "run" / "model.safetensors").read_bytes() for form in settings}
    assert models["NFC"] == models["NFD"] != models["graphemes"]


def with_text(settings: Config, **text: object) -> Config:
    return settings.model_copy(update={"text": TextConfig.model_validate(text)})


def test_what_is_doubtful_about_units_is_said(tones: Path, tmp_path: Path) -> None:
    """Digits, ambiguous digraphs, units that never occur; and what a units file does not list is an error."""
    for name in ("train", "validation"):
        rows = read_manifest(tones / f"{name}.jsonl")
        texts = ["ab ba", "abc", "A3!", "…", *["c"] * (len(rows) - 4)]
        write_manifest(tmp_path / f"{name}.jsonl", [replace(r, text=t) for r, t in zip(rows, texts, strict=True)])
    settings = train_config(tmp_path)

    def opened(**text: object) -> tuple[Units, str]:
        said: list[str] = []
        data = open_data(with_text(settings, **text), said.append)
        return data.units, "\n".join(said)

    _, said = opened()
    assert "'3' (U+0033, DIGIT THREE) 1 time; write numbers as words" in said
    assert "texts: NFC, white space collapsed; units: 8 characters" in said
    units, said = opened(strip_punctuation=True, lower=True)
    assert set(units.symbols) == set(" abc3")
    assert "collapsed, punctuation stripped except ' inside words, lower case; units: 5 characters" in said
    assert "left out 2 utterances, empty transcript" in said and "train.jsonl:4)" in said

    listed = {"strip_punctuation": True, "lower": True, "units_file": str(tmp_path / "units.txt")}
    (tmp_path / "units.txt").write_text("ab\na\nb\nc\n3\nbc\nq\nsh\n")
    units, said = opened(**listed)
    assert units.symbols == (" ", "ab", "a", "b", "c", "3", "bc", "q", "sh")
    assert "units.txt that do not occur in training text: bc q sh" in said
    assert "into units in several ways; they become\n  ab, 1 time\n  ab + c, 1 time" in said
    (tmp_path / "units.txt").write_text("ab\nc\n3\n")
    with pytest.raises(TextError, match=r"units\.txt: .*'a' \(U\+0061.* 2 times, 'b' .*first in utterance train-0"):
        opened(**listed)
    assert "texts: NFC, white space collapsed; units: 6 phones" in opened(units="phones")[1]


def test_nothing_left_is_an_error(tones: Path, tmp_path: Path) -> None:
    utterances = read_manifest(tones / "train.jsonl")
    write_manifest(tmp_path / "validation.jsonl", read_manifest(tones / "validation.jsonl"))
    write_manifest(tmp_path / "train.jsonl", [replace(u, audio=tmp_path / "no.wav") for u in utterances])
    with pytest.raises(TrainingError, match="none of its 96 utterances"):
        train(train_config(tmp_path), tmp_path / "run")
    write_manifest(tmp_path / "train.jsonl", [replace(u, text="abc" * 99) for u in utterances])
    with pytest.raises(TrainingError, match="none of its 96 utterances"):
        train(train_config(tmp_path), tmp_path / "run")
