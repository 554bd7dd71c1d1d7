"""Settings that a configuration leaves open are chosen by the data; settings that it sets stay."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import train_config
from processes import run_asr

from asr.config import AugmentConfig, Config
from asr.text import Units
from asr.training.data import TrainingData
from asr.training.sizes import sized


class Corpus(list[int]):
    """A corpus of `number` utterances and `hours` hours."""

    num_samples: list[int]
    utterances: list[Any]

    def __init__(self, number: int, hours: float) -> None:
        super().__init__(range(number))
        self.seconds = 3600 * hours


def choose(number: int, hours: float, **sections: Any) -> tuple[Config, list[str]]:
    config = Config.model_validate({"data": {"train": "t", "validation": "v"}, **sections})
    lines: list[str] = []
    return sized(config, SimpleNamespace(training=Corpus(number, hours)), lines.append), lines  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "hours", "size", "utterances", "epochs"),
    [
        (49, 0.08, (2, 96), 4, 100),
        (2400, 0.3, (2, 128), 12, 40),
        (3759, 3.3, (3, 320), 18, 39),
        (28539, 100.0, (4, 512), 64, 30),
    ],
)
def test_few_data_get_a_small_model_in_small_batches_for_many_epochs(
    number: int, hours: float, size: tuple[int, int], utterances: int, epochs: int
) -> None:
    config, (line,) = choose(number, hours)
    assert (config.model.layers, config.model.hidden) == size
    assert (config.training.batch_utterances, config.training.epochs) == (utterances, epochs)
    assert f"model.layers={size[0]} model.hidden={size[1]} " in line
    assert f"training.batch_utterances={utterances} training.epochs={epochs} training.patience=" in line


def test_what_is_set_stays() -> None:
    config, (line,) = choose(49, 0.08, model={"hidden": 33}, training={"batch_utterances": 16, "seed": 3})
    assert (config.model.layers, config.model.hidden, config.training.batch_utterances) == (2, 33, 16)
    assert config.training.seed == 3
    assert "hidden" not in line and "utterances=" not in line
    assert choose(9999, 50.0, **config.model_dump(exclude={"data"})) == (config, [])


def test_patience_grows_with_the_epochs() -> None:
    for epochs, patience in ((31, 20), (48, 20), (100, 40)):
        assert choose(1000, 1.0, training={"epochs": epochs})[0].training.patience == patience
    assert choose(1000, 1.0, training={"epochs": 100, "patience": 3})[0].training.patience == 3


def regularized(**sections: Any) -> dict[str, Any]:
    """Return dropout and augmentation chosen for an hour of data, without what stays at its default."""
    config, _ = choose(1000, 1.0, **sections)
    recorded = {"noise", "noise_snr_db", "rooms", "channels", "share"}
    augment = config.augment.model_dump(exclude={"join", "time_mask_ms", *recorded})
    return {"dropout": config.model.dropout, **augment}


def test_many_epochs_get_masks_and_more_dropout() -> None:
    warped = {"frequency_warp": 0.1, "tempo": 0.1, "frequency_mask_bins": 10}
    assert regularized() == {"dropout": 0.3, **warped, "frequency_masks": 2, "time_masks_per_second": 0.5}
    few = {"training": {"epochs": 8}}
    assert regularized(**few) == {"dropout": 0.2, **warped, "frequency_masks": 0, "time_masks_per_second": 0.0}


def test_augmentation_that_is_set_stays_also_at_0() -> None:
    off = {"frequency_warp": 0, "tempo": 0, "frequency_masks": 0, "time_masks_per_second": 0}
    found = regularized(augment=off, model={"dropout": 0})
    assert found == {"dropout": 0.0, **off, "frequency_mask_bins": 10}


def test_masks_fit_the_features() -> None:
    assert regularized(features={"bins": 24})["frequency_mask_bins"] == 3
    cepstra = regularized(features={"kind": "mfcc"})
    assert (cepstra["frequency_warp"], cepstra["frequency_masks"], cepstra["tempo"]) == (0, 0, 0.1)


def test_a_classifier_is_not_augmented() -> None:
    config, (line,) = choose(1000, 1.0, task="classification")
    assert config.augment.model_dump(exclude={"join"}) == AugmentConfig().model_dump(exclude={"join"})
    assert config.model.dropout == 0.2
    assert "augment" not in line


def subsampling(texts: list[str], seconds: float, **sections: Any) -> int:
    """Return the subsampling chosen for texts in recordings of `seconds` each."""
    samples, corpus = round(16000 * seconds), Corpus(len(texts), len(texts) * seconds / 3600)
    corpus.num_samples, corpus.utterances = [samples] * len(texts), [SimpleNamespace(text=text) for text in texts]
    data = TrainingData(corpus, corpus, Units("ab"))  # type: ignore[arg-type]
    settings = {"data": {"train": "t", "validation": "v"}, "augment": {"join": 0}}
    return sized(Config.model_validate({**settings, **sections}), data, lambda _: None).model.subsampling


def test_slow_speech_gets_long_frames() -> None:
    assert subsampling(["ab" * 4] * 9, 1.0) == 4  # 8 units a second, 26 frames
    assert subsampling(["ab" * 5] * 9, 1.0) == 3  # 10 units, 26 frames: fewer than three for a unit
    assert subsampling(["ab" * 7] * 9, 1.0) == 2
    assert subsampling(["ab" * 30] * 9, 1.0) == 2  # whatever the density
    assert subsampling(["ab" * 5] * 9, 1.0, features={"hop_ms": 5}) == 4
    assert subsampling(["ab" * 4] * 9 + ["a" * 17], 1.0) == 3  # 17 units with 16 blanks between do not fit into 26
    assert subsampling(["ab" * 4] * 9, 1.0, model={"subsampling": 1}) == 1
    assert subsampling(["ab" * 4] * 9, 1.0, model={"decoder": "attention"}) == 3


def test_the_run_says_and_keeps_what_was_chosen(tones: Path, tmp_path: Path) -> None:
    whole = train_config(tones, epochs=2).model_dump(mode="json")
    del whole["model"]["hidden"], whole["training"]["batch_utterances"]
    (tmp_path / "open.yaml").write_text(Config.model_validate(whole).to_yaml().replace("  hidden: 320\n", ""))
    done = run_asr("train", "open.yaml", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "settings chosen for 96 utterances" in done.stderr and "model.hidden=96" in done.stderr
    assert Config.load(tmp_path / "run" / "config.yaml").model.hidden == 96
