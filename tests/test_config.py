"""The configuration: shipped files load, overrides apply, errors name what was typed, old fingerprints stay."""

import hashlib
from pathlib import Path

import pytest
from conftest import REPOSITORY

from asr.config import Config
from asr.errors import ConfigError

SHIPPED = sorted(REPOSITORY.glob("recipes/*/config.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_configs_parse_and_round_trip(path: Path, tmp_path: Path) -> None:
    config = Config.load(path)
    (tmp_path / "written.yaml").write_text(config.to_yaml())
    assert Config.load(tmp_path / "written.yaml") == config


def test_no_recipe_has_a_training_program() -> None:
    assert SHIPPED
    assert not list(REPOSITORY.glob("recipes/*/train.py"))


def test_overrides() -> None:
    config = Config.load(
        SHIPPED[0], ["training.epochs=3", "data.train=[a.jsonl, b.jsonl]", "training.learning_rate=1e-3"]
    )
    assert config.training.epochs == 3
    assert config.data.train == ("a.jsonl", "b.jsonl")
    assert config.training.learning_rate == 0.001


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs=none", r"--set training\.epochs=none: training\.epochs .*valid integer.*found 'none'"),
        (
            "training.epoch=3",
            r"--set training\.epoch=3: training\.epoch is not a setting; the settings there are start_from, epochs, ",
        ),
        ("model.subsampling=5", r"--set model\.subsampling=5: .*1, 2, 3 or 4.*found 5"),
        ("model.frontend=transformer", r"model\.frontend .*'conv' or 'stack'.*found 'transformer'"),
        ("features.level=none", r"features\.level .*'utterance' or 'running'.*found 'none'"),
        ("model.dropout=1.5", r"--set model\.dropout=1\.5: .*less than 1"),
        ("text.lower=turkish", r"--set text\.lower=turkish: text\.lower .*'turkic'"),
        ("text.units=words", r"--set text\.units=words: text\.units .*'characters', 'graphemes', .*found 'words'"),
        (
            "text.keep_inside_words=a-",
            r"text\.keep_inside_words .*must contain punctuation only; strip_punctuation never removes 'a'",
        ),
        ("text={units: graphemes, units_file: u.txt}", r"text\.units_file .*graphemes are learned from the text"),
        ("training.epochs", "must have the form SECTION"),
        ("training=3", "--set training=3: training"),
        ("training.epochs.more=3", "is a setting, not a section"),
        ("training.epochs=[", "is not a valid YAML value"),
    ],
)
def test_errors_name_what_was_typed(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.load(SHIPPED[0], [override])


def test_fingerprints_of_older_versions_stay_valid() -> None:
    """The digests are those of the version before `training.kernels`; its checkpoints hold them."""
    settings = {"data": {"train": "t.jsonl", "validation": "v.jsonl"}, "training": {"epochs": 3}}
    config = Config.model_validate(settings)
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in (config.fingerprint(), repr(config.training))]
    assert digests == [
        "437f5c905b32e93edaad567c98ddcc55c94112c20c3d32fbadc271bc575fb08a",
        "984986f728a8f003a08bd95c79b587257f59fc1a43b6285018c49cd2c7f6e003",
    ]
    changed = config.model_copy(update={"training": config.training.model_copy(update={"kernels": "torch"})})
    assert changed.fingerprint() != config.fingerprint()


def test_every_setting_says_its_default() -> None:
    for section in Config.model_fields.values():
        for name, field in getattr(section.annotation, "model_fields", {}).items():
            assert "(default: " in (field.description or "") or field.is_required(), name


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    with pytest.raises(ConfigError, match="no such configuration file"):
        Config.load(path)
    for content, message in {"a: [": "is not valid YAML", "- a": "found list", "model: {}": "data is required"}.items():
        path.write_text(content)
        with pytest.raises(ConfigError, match=message):
            Config.load(path)
