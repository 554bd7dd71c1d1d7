"""The share of utterances that training joins, where a configuration leaves it open."""

from collections.abc import Callable

from asr.config import Config
from asr.training.build import build_recordings
from asr.training.data import Corpora, TrainingData


def choose_join(config: Config, data: Corpora, say: Callable[[str], None]) -> Config:
    """Return the configuration with `augment.join` chosen if it does not set it; report the choice.

    A classifier gets 0: a recording of two utterances does not have one class.
    """
    if config.augment.join is not None:
        return config
    join = 0.0
    if isinstance(data, TrainingData):  # classifiers have no texts
        recordings = build_recordings(config, data.training)
        join = recordings.choose_join()
        say(f"augment.join={join:g}: {recordings}")
    return config.model_copy(update={"augment": config.augment.model_copy(update={"join": join})})
