"""Training data that is read while it is used: what its indices say before the first epoch."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asr.config import Config
from asr.corpus.index import LineRules
from asr.corpus.streamed import StreamedCorpus
from asr.errors import ConfigError, TrainingError
from asr.lengths import hop_samples
from asr.text import Units, read_units
from asr.wording import counted

logger = logging.getLogger(__name__)
_UNREAD, _FEWEST_UNREAD = 0.01, 20  # share and number of recordings; with more that cannot be read, training stops
_NAMED = 5  # utterances named one by one before the rest are counted


@dataclass
class Readings:
    """Counts the recordings that training has read while it uses them, and those that it could not read."""

    read: int = 0
    unread: int = 0

    def leave_out(self, fault: str) -> None:
        """Name a recording that cannot be used. Raises TrainingError if there are too many of them."""
        self.unread += 1
        logger.warning(f"left out of its batch: {fault}")
        if self.unread >= _FEWEST_UNREAD and self.unread > _UNREAD * (self.read + self.unread):
            raise TrainingError(
                f"{self.unread} of {self.read + self.unread} recordings could not be used, the last one: {fault}; "
                "correct the data or its storage, and repeat the command, which resumes from the last checkpoint"
            )


def open_streamed(config: Config, say: Callable[[str], None], *, strict: bool = False) -> StreamedCorpus:
    """Open the indices of the training manifests, or build them; name the lines that are left out.

    Raises ConfigError for settings that need all data at once, ManifestError for a bad manifest, and TrainingError if a
    manifest has no line to learn from, or if `strict` is set and any line is left out.
    """
    if config.data.exclude is not None:
        raise ConfigError("data.exclude: streamed data is read as the manifest lists it; take the lines out of it")
    if config.features.equalize:
        raise ConfigError(
            "features.equalize: needs all recordings of a speaker at once; set data.stream or it to false"
        )
    corpus = StreamedCorpus(config.data.train, line_rules(config))
    for index, path in zip(corpus.indices, config.data.train, strict=True):
        header = index.header
        if header.num_faults:
            say_left_out(header.faults, f"which {path} lists", say, count=header.num_faults)
        if strict and header.num_faults:
            raise TrainingError(
                f"--strict: {counted('{} line<s> of', header.num_faults)} {path} cannot be used, as listed above; "
                "correct the data, or train without --strict"
            )
        if not len(index):
            first = header.faults[0] if header.faults else "the manifest is empty"
            raise TrainingError(f"{path}: none of its {header.num_faults} lines can be used; {first}")
    return corpus


def line_rules(config: Config) -> LineRules:
    """Return what a line of a training manifest must have for the model of a configuration."""
    text = config.text
    symbols = read_units(text.units_file, text.units) if text.units_file else ()
    return LineRules(
        text_field=config.data.text_field,
        normalizer=text.normalizer,
        units=Units(symbols, text.units) if config.task == "recognition" else None,
        sample_rate=config.features.sample_rate,
        hop=hop_samples(config.features.sample_rate, config.features.hop_ms),
        subsampling=config.model.subsampling if config.model.loss_weights[0] else None,
        allow_empty=config.data.train_on_empty,
    )


def say_left_out(faults: Sequence[str], why: str, say: Callable[[str], None], *, count: int | None = None) -> None:
    """Name the first faults, and count the others; `count` is their number if not all of them are known."""
    count = len(faults) if count is None else count
    say(f"left out {counted('{} utterance<s>', count)}, {why}:")
    for fault in faults[:_NAMED]:
        say(f"  {fault}")
    if count > _NAMED:
        say(f"  … and {count - _NAMED} more")
