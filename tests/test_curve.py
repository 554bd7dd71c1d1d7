"""Curves of errors by amount of data: nested parts, equal settings, kills, forecasts, refusals, the page."""

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import interrupted, train_config
from processes import run_asr
from typer.testing import CliRunner

from asr.cli import app
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.corpus.subsets import first, hold_out, in_order, seconds
from asr.errors import ConfigError, ManifestError, TrainingError
from asr.learning.curve import Measured, Point, Trainings
from asr.learning.outlook import Outlook
from asr.learning.power_law import curve
from asr.recognition.recognizer import load
from asr.scoring.bootstrap import Clusters
from asr.scoring.wer import score
from asr.training.data import read_ids
from asr.utterance import Utterance


def quiet(line: str) -> None:
    """Say nothing."""


def test_parts_are_nested_and_a_killed_curve_goes_on(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = train_config(tones, epochs=2, patience=9)
    out = tmp_path / "curve"
    wanted = Trainings(config, tmp_path / "whole", seeds=1, say=quiet)
    whole = wanted.run(wanted.seconds())
    said: list[str] = []
    for after in (3, 20):  # killed in the smallest part, and in a later one
        with interrupted(monkeypatch, after=after):
            trainings = Trainings(config, out, seeds=1, say=said.append)
            trainings.run(trainings.seconds())
    trainings = Trainings(config, out, seeds=1, say=said.append)
    expected = trainings.seconds()
    assert expected[0] == 0.0 < expected[-1]  # the smallest part is trained
    measured = trainings.run(expected)
    assert measured.points == whole.points
    assert any(re.fullmatch(r"training 4 of 4: \S+ .* of audio, seed 0; about .* left", line) for line in said)

    ids = [utterance.id for utterance in read_manifest(tones / "train.jsonl")]
    parts = [set(ids) - (read_ids(path) if (path := out / name / "exclude.txt").exists() else set())
             for name in ("1-8", "1-4", "1-2", "all")]  # fmt: skip
    assert all(small < large for small, large in pairwise(parts))
    assert [point.utterances for point in measured.points] == [len(part) for part in parts]
    shares = [point.hours / measured.points[-1].hours for point in measured.points]
    assert shares == pytest.approx([0.125, 0.25, 0.5, 1.0], abs=0.03) and all(
        share <= most for share, most in zip(shares, (0.125, 0.25, 0.5, 1.0), strict=True)
    )
    for point in measured.points:
        folder = out / point.part / "seed-0"
        model = load(folder / "model.safetensors")
        assert model.summary["training_utterances"] == point.utterances
        rows = read_manifest(folder / "validation.hyp.jsonl")
        found = score([row.text or "" for row in rows], [row.extra["hypothesis"] for row in rows])
        assert (found.cer.percent, found.wer.percent) == (point.cer, point.wer)
        assert model.config.training.epochs == min(100, round(2 * 96 / point.utterances))  # as many steps
    assert [json.loads(line)["cer"] for line in (out / "points.jsonl").read_text().splitlines()] == [
        point.cer for point in measured.points
    ]
    assert sum(trainings.seconds()) == 0  # all is done


def test_a_part_too_small_to_learn_from_is_left_out(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asr.learning import curve as module

    faulty, real = {"1-8"}, module.train_once

    def train_once(config: Config, folder: Path, state: str) -> None:
        if folder.parent.name in faulty:
            raise TrainingError("the model ignores the audio: and so on")
        real(config, folder, state)

    monkeypatch.setattr(module, "train_once", train_once)
    said: list[str] = []
    trainings = Trainings(train_config(tones, epochs=1), tmp_path, seeds=1, say=said.append)
    found = trainings.run([1.0, 1.0, 1.0, 1.0])
    assert [point.part for point in found.points] == ["1-4", "1-2", "all"]
    assert found.cer.amounts.tolist() == [point.hours for point in found.points]
    assert f"{tmp_path / '1-8' / 'seed-0'}: this part is left out of the curve: the model ignores" in " ".join(said)
    faulty.add("1-4")
    with pytest.raises(TrainingError, match="the model ignores the audio"):
        trainings.run([1.0, 1.0, 1.0, 1.0])


def test_open_settings_are_chosen_for_each_part(tones: Path, tmp_path: Path) -> None:
    config = train_config(tones)
    training = config.training.model_dump(include={"learning_rate"})
    opened = Config.model_validate({**config.model_dump(include={"data", "features"}), "training": training})
    trainings = Trainings(opened, tmp_path, seeds=2, say=quiet).trainings
    assert ["epochs" in one.config.training.model_fields_set for one in trainings] == [False] * 8
    assert [(one.part.name, one.seed, one.config.training.seed) for one in trainings[-2:]] == [
        ("all", 0, 0),
        ("all", 1, 1),
    ]
    assert len({one.folder for one in trainings}) == 8


def test_refusals(tones: Path, tmp_path: Path) -> None:
    config = train_config(tones)

    def with_data(**changes: object) -> Config:
        return config.model_copy(update={"data": config.data.model_copy(update=changes)})

    with pytest.raises(ConfigError, match="is for recognisers"):
        Trainings(config.model_copy(update={"task": "classification"}), tmp_path, seeds=1, say=quiet)
    with pytest.raises(ConfigError, match="that is packed and shown whole"):
        Trainings(with_data(temperature=0.5), tmp_path, seeds=1, say=quiet)
    with pytest.raises(ConfigError, match="a time budget would spoil it"):
        Trainings(train_config(tones, budget_minutes=5), tmp_path, seeds=1, say=quiet)
    write_manifest(tmp_path / "few.jsonl", read_manifest(tones / "train.jsonl")[:30])
    with pytest.raises(TrainingError, match="30 training utterances cannot be divided into 3 parts of at least 10"):
        Trainings(with_data(train=(str(tmp_path / "few.jsonl"),)), tmp_path, seeds=1, say=quiet)


def test_the_command(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.yaml").write_text(train_config(tones, epochs=1).to_yaml())
    planned = CliRunner().invoke(app, ["curve", "words.yaml", "--dry-run"])
    assert planned.exit_code == 0 and planned.stdout == "", planned.stderr
    assert "4 trainings, 4 to do, for about " in planned.stderr.splitlines()[-1]
    far = run_asr("curve", "words.yaml", "--more", "30m")
    assert far.returncode == 1 and "are more than 4 times the 0.02 hours" in far.stderr
    assert not list(Path("runs/words/curve").glob("*/seed-0"))
    wrong = run_asr("curve", "words.yaml", "--more", "30")
    assert wrong.returncode == 1 and "--more 30: must be a positive number with a unit" in wrong.stderr
    done = run_asr("curve", "words.yaml", "--more", "1m")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Parts of the training data" and len([line for line in lines if line.startswith(" ")]) == 5
    last = done.stderr.splitlines()[-1]
    assert last.startswith("next: asr next runs/words/curve/all/seed-0 ") and last.endswith("-o to-transcribe")
    assert Path("runs/words/curve/curve.png").read_bytes()[:4] == b"\x89PNG"
    page = Path("runs/words/curve/curve.html").read_text()
    assert (
        "data:image/svg+xml" in page
        and "More data for words" in page
        and "http" not in page.replace("http://www.w3.org", "")
    )
    again = run_asr("curve", "words.yaml", "--more", "1m")
    assert again.stdout == done.stdout and "4 trainings, 0 to do" in again.stderr


def measured(errors: list[int], hours: float = 4.0, seeds: int = 1) -> Measured:
    """Return measurements with so many errors among 30 characters, and twice as many among 30 words, of 200 texts."""
    amounts = [hours / 8, hours / 4, hours / 2, hours]
    drawn, items = Clusters("utterance", np.arange(200)), np.full(200, 30)
    generator = np.random.default_rng(0)
    counts = np.stack([generator.binomial(30, number / 30, (seeds, 200)) for number in errors])
    points = [
        Point(name, amount, 10, 0, 1, float(100 * one[0].sum() / 6000), float(200 * one[0].sum() / 6000))
        for name, amount, one in zip(("1-8", "1-4", "1-2", "all"), amounts, counts, strict=True)
    ]
    cer, wer = (curve(name, amounts, factor * counts, items, drawn) for name, factor in (("CER", 1), ("WER", 2)))
    return Measured(points, cer, wer, "200 utterances")


def test_sentences() -> None:
    falling = Outlook(measured([12, 9, 7, 5]))
    assert [line.partition(":")[0] for line in falling.forecasts] == ["an hour more", "4 hours more", "12 hours more"]
    assert " CER 16." in falling.forecasts[1] and " -> 1" in falling.forecasts[1]
    assert falling.remarks()[0].startswith("more data helps: as much data again saves ")
    assert falling.remarks()[1].startswith(
        "check: from the smaller parts, all 4.0 hours were expected to give a CER of "
    )
    flat = Outlook(measured([6, 6, 6, 6])).remarks()[0]
    assert flat.startswith(("the curve is flat: ", "this cannot tell whether more data helps: "))
    rising = Outlook(measured([6, 9, 7, 5], hours=0.4))
    assert rising.forecasts == [] and rising.remarks()[0] == "errors rise with more data, so there is no forecast"
    assert "with 3.0 minutes, and higher, 30" in rising.remarks()[1] and "this is no chance" in rising.remarks()[1]
    assert [line.partition(":")[0] for line in Outlook(measured([12, 9, 7, 5], hours=0.4)).forecasts] == [
        "24 minutes more",
        "an hour more",
        "72 minutes more",
    ]
    assert Outlook(measured([12, 9, 7, 5]), [2.0]).forecasts[0].startswith("2 hours more: CER ")


def test_subsets() -> None:
    utterances = [Utterance(f"u{n}", Path("x.wav"), f"text {n % 4}", duration=30.0) for n in range(20)]
    ordered = in_order(utterances)
    assert sorted(ordered, key=lambda u: u.id) == sorted(utterances, key=lambda u: u.id) != ordered
    assert in_order(reversed(utterances)) == ordered and in_order(utterances, seed=1) != ordered
    assert first(ordered, 2) == ordered[:4] and first(ordered, 2.1) == ordered[:4] and first(ordered, 99) == ordered
    held_out = hold_out(utterances, 2, "text")
    assert seconds(held_out) >= 120 and not {u.text for u in held_out} & {
        u.text for u in utterances if u not in held_out
    }
    assert hold_out(utterances, 0, "id") == []
    with pytest.raises(ManifestError, match="1 lines state no duration, 'v' first"):
        first([*utterances, Utterance("v", Path("v.wav"))], 99)
