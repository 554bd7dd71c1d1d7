"""Settings that a configuration leaves open: chosen by the amount of data and by the number of units per second."""

import math
from collections.abc import Callable

from asr.config import Config
from asr.corpus.streamed import StreamedCorpus
from asr.lengths import hop_samples, num_frames, required_frames, subsampled_length
from asr.training.build import epoch_lines
from asr.training.data import Corpora, TrainingData
from asr.training.joining import choose_join
from asr.training.regularization import regularization
from asr.wording import counted

SIZES = ((2, 96), (2, 128), (2, 192), (3, 256), (3, 320), (4, 384), (4, 512))  # layers, hidden
HOURS = (0.0, 0.1, 0.5, 1.0, 3.0, 20.0, 60.0)  # hours of training data from which each size is useful
_BATCHES = 200  # fewest batches in an epoch, if _MIN_UTTERANCES allows
_MIN_UTTERANCES, _MAX_UTTERANCES = 4, 64  # utterances in a batch
_STEPS = 8000  # steps of a run
_MIN_EPOCHS, MAX_EPOCHS = 30, 100
_PATIENCE, _MIN_PATIENCE = 0.4, 20  # share of the epochs, and epochs: a falling learning rate still helps after long
_FRAMES = 3  # encoder frames per unit, on average: fewer cost accuracy, more cost time (docs/accuracy.md)


def sizes_for(hours: float) -> list[tuple[int, int]]:
    """Return the model sizes, as layers and hidden, that are useful for so many hours of data, smallest first."""
    return [size for size, least in zip(SIZES, HOURS, strict=True) if hours >= least]


def choose_subsampling(config: Config, data: TrainingData) -> int:
    """Return the largest subsampling with at least `_FRAMES` frames per unit and enough frames for every text.

    It is 2 if neither 4 nor 3 leaves enough frames.
    """
    corpus, hop = data.training, hop_samples(config.features.sample_rate, config.features.hop_ms)
    if isinstance(corpus, StreamedCorpus):
        return next((factor for factor in (4, 3) if corpus.fits(factor, _FRAMES)), 2)
    frames = [num_frames(int(samples), hop) for samples in corpus.num_samples]
    units = [data.units.encode(utterance.text or "") for utterance in corpus.utterances]
    for factor in (4, 3):
        left = [subsampled_length(count, factor) for count in frames]
        feasible = all(required_frames(text) <= count for text, count in zip(units, left, strict=True))
        if feasible and sum(left) >= _FRAMES * sum(map(len, units)):
            return factor
    return 2


def sized(config: Config, data: Corpora, say: Callable[[str], None]) -> Config:
    """Return the configuration with everything chosen that it leaves open and that depends on the data.

    Little data gets a small model and many epochs; with CTC, fast speech gets short encoder frames. A recogniser gets
    the dropout and the augmentation that fit its epochs; a classifier keeps the defaults, without augmentation. The
    choice is reported.
    """
    hours, number = data.training.seconds / 3600, len(data.training)
    layers, hidden = sizes_for(hours)[-1]
    given = config.training.model_dump(include=config.training.model_fields_set)
    utterances = given.get("batch_utterances", min(_MAX_UTTERANCES, max(_MIN_UTTERANCES, number // _BATCHES)))
    epochs = min(MAX_EPOCHS, max(_MIN_EPOCHS, math.ceil(_STEPS * utterances / epoch_lines(config, data))))
    chosen = {
        "model": {"layers": layers, "hidden": hidden},
        "training": {
            "batch_utterances": utterances,
            "epochs": epochs,
            "patience": max(_MIN_PATIENCE, math.floor(_PATIENCE * given.get("epochs", epochs))),
        },
    }
    is_open = config.model.loss_weights[0] and "subsampling" not in config.model.model_fields_set
    if is_open and isinstance(data, TrainingData):  # classifiers have no texts
        chosen["model"]["subsampling"] = choose_subsampling(config, data)
    if config.task == "recognition":
        cepstra = config.features.kind == "mfcc"
        fitting = regularization(epochs=given.get("epochs", epochs), bins=config.features.bins, cepstra=cepstra)
        chosen = {section: chosen.get(section, {}) | fitting.get(section, {}) for section in (*chosen, *fitting)}
    chosen_settings = []
    for section, values in chosen.items():
        settings = getattr(config, section)
        left_open = {name: value for name, value in values.items() if name not in settings.model_fields_set}
        chosen_settings += [f"{section}.{name}={value}" for name, value in left_open.items()]
        config = config.model_copy(update={section: settings.model_copy(update=left_open)})
    config = choose_join(config, data, say)
    if chosen_settings:
        say(f"settings chosen for {counted('{} utterance<s>', number)} ({hours:.2f} h): {' '.join(chosen_settings)}")
    return config
