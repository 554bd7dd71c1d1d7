"""Training that starts from another model takes the settings of its features and encoder, where they are open."""

from pathlib import Path

import pytest
from conftest import fresh_recognizer, train_config

from asr.config import Config
from asr.errors import ConfigError
from asr.training.build import with_its_settings
from asr.training.train import train


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """Write a small recogniser; return its file."""
    path = tmp_path / "model.safetensors"
    fresh_recognizer("abc ").save(path)
    return path


def configured(tones: Path, start: Path, *, model: dict[str, object]) -> Config:
    tree = train_config(tones, epochs=1, start_from=str(start)).model_dump(exclude_unset=True)
    return Config.model_validate(tree | {"model": model, "features": {"sample_rate": 8000}})


def test_open_settings_are_those_of_the_model(started: Path, tones: Path, tmp_path: Path) -> None:
    theirs = fresh_recognizer("abc ").config
    said: list[str] = []
    taken = with_its_settings(configured(tones, started, model={}), said.append)
    assert taken.model.hidden == theirs.model.hidden and taken.features.bins == theirs.features.bins
    assert taken.model.dropout == Config.model_validate({"data": taken.data}).model.dropout  # changes no weights
    assert (
        said[0].startswith(f"settings of {started}: ") and "model.hidden=8" in said[0] and "features.bins=20" in said[0]
    )
    recognizer = train(configured(tones, started, model={}), tmp_path / "run")
    assert recognizer.config.model.layers == theirs.model.layers


def test_settings_that_are_stated_stay_and_are_refused(started: Path, tones: Path, tmp_path: Path) -> None:
    config = configured(tones, started, model={"hidden": 9})
    assert with_its_settings(config, print).model.hidden == 9
    with pytest.raises(ConfigError, match=r"other settings; to start from it, use --set model\.hidden=8$"):
        train(config, tmp_path / "run")


def test_without_another_model_nothing_is_taken(tones: Path) -> None:
    config = train_config(tones, epochs=1)
    assert with_its_settings(config, print) is config
