"""What a configuration leaves open, chosen by the data: how much there is, and how fast its units follow."""

import math
from collections.abc import Callable

from asr.config import Config
from asr.lengths import hop_samples, num_frames, required_frames, subsampled_length
from asr.training.data import Corpora, TrainingData

SIZES = ((2, 96), (2, 128), (2, 192), (3, 256), (3, 320), (4, 384), (4, 512))  # layers, hidden
HOURS = (0.0, 0.1, 0.5, 1.0, 3.0, 20.0, 60.0)  # of training data from which each is worth its time
_BATCHES = 200  # at least in an epoch, as far as _MIN_UTTERANCES allows
_MIN_UTTERANCES, _MAX_UTTERANCES = 4, 64  # in a batch
_STEPS = 8000
_MIN_EPOCHS, _MAX_EPOCHS = 30, 100
_FRAMES = 3  # of the encoder for a unit, on average: fewer cost accuracy, more cost time (docs/accuracy.md)


def worth_training(hours: float) -> list[tuple[int, int]]:
    """The sizes, layers and hidden, that so much data can teach, smallest first."""
    return [size for size, least in zip(SIZES, HOURS, strict=True) if hours >= least]


def coarsest(config: Config, data: TrainingData) -> int:
    """The largest subsampling, in feature frames, that leaves CTC `_FRAMES` for a unit and enough for every text.

    2 where 4 and 3 leave less.
    """
    hop = hop_samples(config.features.sample_rate, config.features.hop_ms)
    frames = [num_frames(int(samples), hop) for samples in data.training.num_samples]
    units = [data.units.encode(utterance.text or "") for utterance in data.training.utterances]
    for factor in (4, 3):
        left = [subsampled_length(count, factor) for count in frames]
        feasible = all(required_frames(text) <= count for text, count in zip(units, left, strict=True))
        if feasible and sum(left) >= _FRAMES * sum(map(len, units)):
            return factor
    return 2


def sized(config: Config, data: Corpora, say: Callable[[str], None]) -> Config:
    """The configuration with what it does not set of size, batches and epochs: few data, few weights and many epochs;
    and for CTC of subsampling: fast speech, short frames.

    What is chosen is said.
    """
    hours, number = data.training.seconds / 3600, len(data.training)
    layers, hidden = worth_training(hours)[-1]
    given = config.training.model_dump(include=config.training.model_fields_set)
    utterances = given.get("batch_utterances", min(_MAX_UTTERANCES, max(_MIN_UTTERANCES, number // _BATCHES)))
    epochs = min(_MAX_EPOCHS, max(_MIN_EPOCHS, math.ceil(_STEPS * utterances / number)))
    chosen = {
        "model": {"layers": layers, "hidden": hidden},
        "training": {"batch_utterances": utterances, "epochs": epochs},
    }
    is_open = config.model.loss_weights[0] and "subsampling" not in config.model.model_fields_set
    if is_open and isinstance(data, TrainingData):  # else the texts need not be read
        chosen["model"]["subsampling"] = coarsest(config, data)
    said = []
    for section, values in chosen.items():
        settings = getattr(config, section)
        left_open = {name: value for name, value in values.items() if name not in settings.model_fields_set}
        said += [f"{section}.{name}={value}" for name, value in left_open.items()]
        config = config.model_copy(update={section: settings.model_copy(update=left_open)})
    if said:
        say(f"chosen for {number} utterances, {hours:.2f} h, since the configuration sets none: {' '.join(said)}")
    return config
