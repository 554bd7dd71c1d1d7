"""What a run trains on: corpora opened, units learned, and everything left out named before the first epoch."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr.config import Config, TextConfig
from asr.corpus.manifest import Utterance, read_manifest
from asr.corpus.pack import PackedCorpus, pack
from asr.errors import TextError, TrainingError
from asr.nn.ctc import required_frames
from asr.text import Units, describe_characters, read_units

_NAMED = 5  # utterances named one by one before the rest are counted


@dataclass(frozen=True, slots=True)
class TrainingData:
    training: PackedCorpus
    validation: PackedCorpus
    units: Units


def open_data(config: Config, say: Callable[[str], None]) -> TrainingData:
    """Packs both corpora and learns the units. Recordings that cannot be read are said and left out.

    Raises ManifestError for a bad manifest, TextError if training has no text or text that its units file cannot
    spell, TrainingError if no audio is left.
    """
    training, validation = (_open(paths, config, say) for paths in (config.data.train, config.data.validation))
    shared = {u.audio for u in training.utterances} & {u.audio for u in validation.utterances}
    if shared:
        say(f"warning: {len(shared)} recordings are in training and in validation, {min(shared)} for one")
    units = _units(config.text, training.utterances, say)
    say(f"texts: {config.text.normalizer}; units: {len(units.symbols)} {units.kind}")
    if unknown := _count(validation.utterances, units.unknown):
        say(f"warning: validation text holds characters never seen in training: {describe_characters(unknown)}")
    return TrainingData(training, validation, units)


def keep_feasible(
    corpus: PackedCorpus, units: Units, num_output_frames: Callable[[int], int], say: Callable[[str], None]
) -> list[list[int]]:
    """Encodes the texts of `corpus` and drops, by name, utterances without text or too short for it under CTC.

    `num_output_frames` tells the encoder frames of a number of samples. Returns the targets of what is kept.
    Raises TrainingError if nothing is.
    """
    targets = [units.encode(utterance.text or "") for utterance in corpus.utterances]
    kept, faults, empty = [], [], []
    for index, (utterance, target) in enumerate(zip(corpus.utterances, targets, strict=True)):
        frames, needed = num_output_frames(int(corpus.num_samples[index])), required_frames(target)
        if not target:
            empty.append(utterance.id)
        elif frames >= needed:
            kept.append(index)
        else:
            repeats = needed - len(target)
            faults.append(
                f"{utterance.id}: {len(target)} units + {repeats} repeats need {needed} frames, "
                f"the audio gives {frames}"
            )
    if empty:
        _say_left_out(empty, "without text once it is normalised", say)
    if faults:
        _say_left_out(faults, "too short for their text; check it, or lower model.subsampling", say)
    if not kept:
        raise TrainingError("no utterance is left to train on: each is too short for its text, or has none")
    corpus.select(kept)
    return [targets[index] for index in kept]


def _units(config: TextConfig, utterances: Sequence[Utterance], say: Callable[[str], None]) -> Units:
    """The units learned from training texts, or listed in the units file; what is doubtful about them is said."""
    if config.units_file is None:
        units = Units.learn((utterance.text or "" for utterance in utterances), config.units)
        digits = _count(utterances, lambda text: Counter(c for c in text if unicodedata.category(c)[0] == "N"))
        if digits and config.units != "phones":
            say(
                f"warning: training text holds digits: {describe_characters(digits)}; spell numbers out as they are "
                "spoken, or, where digits are tones or letters, list them in a text.units_file"
            )
        return units
    symbols = read_units(config.units_file, config.units)
    spaced = config.units != "phones" and any(" " in (utterance.text or "") for utterance in utterances)
    units = Units([" ", *symbols] if spaced else symbols, config.units)
    if unknown := _count(utterances, units.unknown):
        first = next(utterance.id for utterance in utterances if units.unknown(utterance.text or ""))
        raise TextError(
            f"{config.units_file}: training text holds {describe_characters(unknown)}, first in {first}; "
            "add what is missing to the file, or correct the text"
        )
    if unused := set(symbols) - _count(utterances, lambda text: Counter(units.split(text))).keys():
        say(f"warning: units of {config.units_file} that training text never holds: {' '.join(sorted(unused))}")
    if ambiguous := _count(utterances, units.ambiguities):
        say(f"{config.units_file}: parts of the training text that other units would spell too are read as")
        for part, count in ambiguous.most_common(_NAMED):
            say(f"  {' + '.join(units.split(part))}, {count} times")
        if len(ambiguous) > _NAMED:
            say(f"  … and {len(ambiguous) - _NAMED} more")
    return units


def _count(utterances: Sequence[Utterance], counts: Callable[[str], Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for utterance in utterances:
        total.update(counts(utterance.text or ""))
    return total


def _open(paths: Sequence[str], config: Config, say: Callable[[str], None]) -> PackedCorpus:
    normalizer = config.text.normalizer
    utterances: list[Utterance] = []
    for path in paths:
        utterances += read_manifest(path, require_text=True)
    utterances = [replace(utterance, text=normalizer(utterance.text or "")) for utterance in utterances]
    first, rate = Path(paths[0]), config.features.sample_rate
    name = "+".join(Path(path).stem for path in paths)
    corpus = pack(utterances, rate, first.with_name(f"{name}.{rate}.arrow"))
    if corpus.errors:
        _say_left_out([error for _, error in corpus.errors], "unreadable", say)
    if not len(corpus):
        raise TrainingError(f"{', '.join(paths)}: none of its {len(utterances)} recordings can be read")
    return corpus


def _say_left_out(faults: Sequence[str], why: str, say: Callable[[str], None]) -> None:
    say(f"left out {len(faults)} utterances, {why}:")
    for fault in faults[:_NAMED]:
        say(f"  {fault}")
    if len(faults) > _NAMED:
        say(f"  … and {len(faults) - _NAMED} more")
