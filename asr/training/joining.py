"""The share of utterances that training joins, where a configuration leaves it open."""

import math
from collections.abc import Callable

from asr.config import Config
from asr.training.build import build_recordings
from asr.training.data import Corpora, TrainingData
from asr.training.recordings import Recordings

_MOST = 0.5  # largest share that is chosen
_ADDED = 0.08  # share of audio that pauses and context may add


def choose_join(config: Config, data: Corpora, say: Callable[[str], None]) -> Config:
    """Return the configuration with `augment.join` chosen if it does not set it; report the choice.

    A classifier gets 0: a recording of two utterances does not have one class.
    """
    if config.augment.join is not None:
        return config
    join = 0.0
    if isinstance(data, TrainingData):  # classifiers have no texts
        recordings = build_recordings(config, data.training)
        join = share_to_join(recordings)
        say(f"augment.join={join:g}: {recordings}")
    return config.model_copy(update={"augment": config.augment.model_copy(update={"join": join})})


def share_to_join(recordings: Recordings) -> float:
    """Return the share of utterances to join at which pauses and context add at most 8 % of audio; at most 0.5."""
    mean = recordings.corpus.total_samples / len(recordings.corpus)
    real = recordings.gaps[recordings.following >= 0]
    pause = max(recordings.mean_pause, float(real.mean()) if len(real) else 0.0)
    added = pause + float(recordings.around.mean()) / 2  # samples, for an utterance
    share = min(_MOST, _ADDED * mean / added)
    return math.floor(100 * share) / 100
