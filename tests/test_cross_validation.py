"""Cross-validation on little data: every utterance is scored once, the last model has learned all, kills do no harm."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import interrupted, train_config
from processes import run_asr

from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError, TrainingError
from asr.recognition.recognizer import load
from asr.run_log import read_log
from asr.scoring.wer import score
from asr.training.cross_validation import train_on_folds
from asr.training.data import open_data


def test_every_utterance_is_recognised_once_by_a_model_that_lacks_it(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, said = train_config(tones, epochs=3, patience=2), list[str]()
    out = tmp_path / "run"
    for after in (2, 6):  # killed in the first fold, and in the last one or in the model on all
        with interrupted(monkeypatch, after=after):
            train_on_folds(config, out, folds=3, say=said.append)
    assert not (out / "model.safetensors").exists()
    model = train_on_folds(config, out, folds=3, say=said.append)
    rows = read_manifest(out / "folds.jsonl")
    everything = {u.id: u for name in ("train", "validation") for u in read_manifest(tones / f"{name}.jsonl")}
    assert sorted(row.id for row in rows) == sorted(everything)
    assert all((row.text, row.audio.resolve()) == (everything[row.id].text, everything[row.id].audio) for row in rows)
    for number in (1, 2, 3):
        learned = {u.id for u in read_manifest(out / f"fold-{number}" / "train.jsonl")}
        fold = {row.id for row in rows if row.extra["fold"] == number}
        assert learned | fold == everything.keys() and not learned & fold
        judge = load(out / f"fold-{number}" / "model.safetensors")
        assert judge.summary["training_utterances"] == len(learned)
    found = score([row.text or "" for row in rows], [row.extra["hypothesis"] for row in rows])
    assert f"  {found.cer}" in said and f"{len(rows)} utterances recognised once" in " ".join(said)
    facts = model.summary
    assert (facts["training_utterances"], facts["folds"], facts["validation_utterances"]) == (112, 3, 112)
    assert facts["validation_cer"] == round(found.cer.percent, 4)
    epochs = [json.loads(line)["epoch"] for line in (out / "all" / "log.jsonl").read_text().splitlines()]
    kept = [
        min(
            read_log(out / f"fold-{n}" / "log.jsonl"),
            key=lambda row: (row["cer"], row["validation_loss"], -row["epoch"]),
        )
        for n in (1, 2, 3)
    ]
    assert epochs[-1] == round(sum(row["epoch"] for row in kept) / 3)

    train_on_folds(config, tmp_path / "whole", folds=3, say=said.append)
    for name in ("model.safetensors", "fold-2/model.safetensors", "folds.jsonl"):
        one, other = (path / name for path in (out, tmp_path / "whole"))
        if name.endswith("jsonl"):
            assert [r.extra for r in read_manifest(one)] == [r.extra for r in read_manifest(other)]
        else:  # the configurations name their manifests, and so do the model files
            assert load(one).acoustic_model.state_dict().keys() == load(other).acoustic_model.state_dict().keys()
            for ours, theirs in zip(*(load(p).acoustic_model.parameters() for p in (one, other)), strict=True):
                assert ours.equal(theirs)
    with pytest.raises(TrainingError, match="is the model of a finished run; --overwrite trains what has changed"):
        train_on_folds(config, out, folds=3, say=said.append)


def test_command_and_refusals(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text(train_config(tones, epochs=1).to_yaml())
    done = run_asr("train", "words.yaml", "--folds", 2, "--seed", 5, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith("next: asr transcribe runs/words '")
    assert load(tmp_path / "runs/words/model.safetensors").summary["seed"] == 5
    scored = run_asr("score", *["runs/words/folds.jsonl"] * 2, "--by", "fold", cwd=tmp_path)
    assert scored.returncode == 0 and "%WER" in scored.stdout
    refused = run_asr("train", "words.yaml", "--folds", 2, "--budget", "2m", cwd=tmp_path)
    assert refused.returncode == 1 and "leave --budget, --extend, --strict and --dry-run out" in refused.stderr
    config = train_config(tones)
    with pytest.raises(ConfigError, match="for recognisers"):
        train_on_folds(config.model_copy(update={"task": "classification"}), tmp_path / "x", folds=2, say=print)
    with pytest.raises(TrainingError, match="113 folds"):
        train_on_folds(config, tmp_path / "x", folds=113, say=print)
    first = read_manifest(tones / "validation.jsonl")[0]
    write_manifest(tmp_path / "twice.jsonl", [replace(first, id="train-0")])
    data = config.data.model_copy(update={"validation": (str(tmp_path / "twice.jsonl"),)})
    with pytest.raises(TrainingError, match="train-0 is the id of two recordings"):
        train_on_folds(config.model_copy(update={"data": data}), tmp_path / "x", folds=2, say=print)


def test_texts_of_another_field_are_learned(tones: Path, tmp_path: Path) -> None:
    for name in ("train", "validation"):
        rows = read_manifest(tones / f"{name}.jsonl")[:16]
        write_manifest(tmp_path / f"{name}.jsonl", [replace(u, text="x", extra={"tones": u.text}) for u in rows])
    config = train_config(tmp_path, epochs=1)
    config = config.model_copy(update={"data": config.data.model_copy(update={"text_field": "tones"})})
    train_on_folds(config, tmp_path / "run", folds=2, say=lambda line: None)
    assert open_data(load(tmp_path / "run" / "model.safetensors").config, lambda line: None).units.symbols == tuple(
        "abc"
    )
