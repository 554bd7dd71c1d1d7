"""The configuration: shipped files load, overrides apply, errors name what was typed, old fingerprints stay."""

import hashlib
from itertools import pairwise
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


def test_paths_lead_beside_the_file_or_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    (data / "config.yaml").write_text("data: {train: [train.jsonl, data/more.jsonl], validation: v.jsonl}\n")
    for name in ("train.jsonl", "more.jsonl"):
        (data / name).write_text("")
    config = Config.load("data/config.yaml")
    assert config.data.train == (str(Path("data/train.jsonl")), "data/more.jsonl")  # the second as in old files
    assert config.data.validation == ("v.jsonl",)  # nowhere: reading it names it
    assert Config.load(data / "config.yaml").data.train[0] == str(data / "train.jsonl")
    assert Config.load("data/config.yaml", ["data.train=train.jsonl"]).data.train == ("train.jsonl",)
    (tmp_path / "train.jsonl").write_text("")
    with pytest.raises(ConfigError, match=r"data\.train: train\.jsonl is a file beside the configuration, data.train"):
        Config.load("data/config.yaml")
    (data / "config.yaml").write_text("data: {train: ./train.jsonl, validation: ./old.jsonl}\n")
    (tmp_path / "old.jsonl").write_text("")
    config = Config.load("data/config.yaml")
    assert config.data.train == (str(Path("data/train.jsonl")),) and config.data.validation == ("./old.jsonl",)
    monkeypatch.chdir(data)
    assert Config.load("config.yaml").data.train[0] == "train.jsonl"


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
        ("training.epochs=none", r"--set training\.epochs=none: training\.epochs must be a whole number .found 'none'"),
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
        ("training.epochs=[", r"--set training\.epochs=\[: is not valid YAML"),
        ("augment.noise_snr_db=[10]", r"augment\.noise_snr_db has too few values \(found \[10\]\)"),
        ("augment.noise_snr_db=[40, 10]", r"augment\.noise_snr_db must be the lowest and the highest ratio, in this"),
        ("training.seed=99999999999", r"training\.seed must be at most 4294967295 \(found 99999999999\)"),
        ("training.learning_rate=.inf", r"training\.learning_rate must be a finite number \(found inf\)"),
        ("training.learning_rate=1e6", r"training\.learning_rate must be at most 1 \(found '1e6'\)"),
        ("training.epochs=1000000000000", r"training\.epochs must be at most 10000"),
        ("model.hidden=100000000", r"model\.hidden must be at most 8192"),
        ("model.layers=100000", r"model\.layers must be at most 64"),
        ("model.bidirectional=maybe", r"model\.bidirectional must be true or false \(found 'maybe'\)"),
        ("features.hop_ms=0.0001", r"features\.hop_ms must be at least 1"),
        (
            "features.hop_ms=50",
            r"--set features\.hop_ms=50: features needs hop_ms of at most window_ms, 25: .*found 50",
        ),
        ("features={kind: mfcc, bins: 20, coefficients: 40}", r"coefficients of at most bins, 20 \(found 40\)"),
        ("data.train=[]", r"data\.train has fewer than 1 values"),
        ("data.train=[[a]]", r"data\.train must be a text; put it in quotes \(found \['a'\]\)$"),
        ("data.text_field=''", r"data\.text_field must not be empty"),
        ("training.seed=&a [*a]", r"--set training\.seed=&a \[\*a\]: is not valid YAML: has an alias"),
    ],
)
def test_errors_name_what_was_typed(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.load(SHIPPED[0], [override])


def test_fingerprints_of_older_versions_stay_valid() -> None:
    """The digests are those of the version before `training.kernels`; its checkpoints hold them."""
    settings = {"data": {"train": "t.jsonl", "validation": "v.jsonl"}, "training": {"epochs": 3}}
    config = Config.model_validate({**settings, "augment": {"join": 0}})
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


def test_one_text_where_a_list_may_stand() -> None:
    config = Config.load(SHIPPED[0], ["data.train=a.jsonl", "training.trackers=tensorboard"])
    assert (config.data.train, config.training.trackers) == (("a.jsonl",), ("tensorboard",))


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    with pytest.raises(ConfigError, match="no such configuration file"):
        Config.load(path)
    bomb = "a: &a [x, x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrstuvwxyz")
    )
    faults = {
        "a: [": "is not valid YAML: expected the node content",
        "- a": "found list",
        "model: {}": "data is required",
        "data: {train: t, train: u, validation: v}": "train is set twice",
        f"data:\n  train: {'[' * 100_000}": ":2: is not valid YAML: is nested deeper than 10 levels",
        bomb: ":2: is not valid YAML: has an alias",
        "[a, b]: 2": "the name of a setting is no text",
        "1: 2": "1 is not the name of a setting",
        "data:\n\ttrain: a": r":2: is not valid YAML: found character '\\t'",
        "#" * 1_000_001: "has more than 1000 kB, and is no configuration",
    }
    for content, message in faults.items():
        path.write_text(content)
        with pytest.raises(ConfigError, match=message) as raised:
            Config.load(path)
        assert len(str(raised.value)) < 1000
