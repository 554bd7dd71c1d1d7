"""Distillation: one model that learns what several models say, so that it is as quick as one of them."""

from collections.abc import Sequence
from pathlib import Path

from asr.config import Config
from asr.errors import ConfigError
from asr.model_file import read_metadata, task_of


def distillation(models: Sequence[Path], base: Config | None = None) -> Config:
    """Return the configuration that trains one model on what `models` say and on the transcripts.

    It is `base`, or else the configuration that the first model was trained with, with the models as teachers. Raises
    ModelFileError for a bad file, and ConfigError for a file of another task or with another decoder than CTC.
    """
    config = base
    for path in models:
        metadata = read_metadata(path)
        if task_of(metadata) != "recognition":
            raise ConfigError(f"{path}: was trained for {task_of(metadata)}; a teacher must be a recogniser")
        its_config = Config.model_validate(metadata["config"])
        if its_config.model.decoder != "ctc":
            raise ConfigError(
                f"{path}: has model.decoder {its_config.model.decoder}, and a teacher must have ctc; leave it out"
            )
        config = config or its_config
    if config is None:
        raise ConfigError("name the models whose knowledge one model shall learn")
    update = {"teachers": tuple(map(str, models))}
    if base is None:
        update |= {"start_from": None, "budget_minutes": None}  # type: ignore[dict-item]
    return config.model_copy(update={"training": config.training.model_copy(update=update)})
