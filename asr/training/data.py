"""What a run trains on: corpora opened, units learned, and everything left out named before the first epoch."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from asr.config import Config, TextConfig
from asr.corpus.check import check, settings_of
from asr.corpus.check_verdicts import SUSPECT
from asr.corpus.pack import PackedCorpus, pack
from asr.errors import ConfigError, TextError, TrainingError
from asr.files import read_lines
from asr.text import Units, describe_characters, read_units
from asr.utterance import Utterance

_NAMED = 5  # utterances named one by one before the rest are counted


@dataclass(frozen=True, slots=True)
class Corpora:
    """What is learned from and what is held out; the text of an utterance is normalised, or it is its class."""

    training: PackedCorpus
    validation: PackedCorpus


@dataclass(frozen=True, slots=True)
class TrainingData(Corpora):
    units: Units


def open_data(config: Config, say: Callable[[str], None], *, strict: bool = False) -> TrainingData:
    """Opens both corpora, as `open_corpora` does, and learns the units.

    Raises also TextError if training has no text, or text that its units file cannot spell.
    """
    corpora = open_corpora(config, say, strict=strict)
    units = _units(config.text, corpora.training.utterances, say)
    say(f"texts: {config.text.normalizer}; units: {len(units.symbols)} {units.kind}")
    if unknown := _count(corpora.validation.utterances, units.unknown):
        say(f"warning: validation text holds characters never seen in training: {describe_characters(unknown)}")
    return TrainingData(corpora.training, corpora.validation, units)


def open_corpora(config: Config, say: Callable[[str], None], *, strict: bool = False) -> Corpora:
    """Checks and packs both corpora. What is unusable is said and left out.

    What `data.exclude` lists is left out of training, not of validation. Raises ManifestError for a bad manifest,
    ConfigError for an exclude list that cannot be read, TrainingError if nothing is left, or if anything is unusable
    and `strict`.
    """
    splits = {"train": config.data.train, "validation": config.data.validation}
    report = check(splits, training="train", **settings_of(config))
    for verdict, findings in groupby(report.unusable, key=lambda finding: finding.verdict):
        _say_left_out([f"{finding}; {finding.cure}" for finding in findings], verdict, say)
    if strict and report.unusable:
        raise TrainingError("strict: there are unusable utterances; correct the data, or train without --strict")
    if suspects := Counter(finding.verdict for finding in report.findings if finding.severity == SUSPECT):
        say("suspect, see `asr check`: " + ", ".join(f"{count} {verdict}" for verdict, count in suspects.items()))
    for split, paths in splits.items():
        if not report.usable(split):
            faulty = {(f.manifest, f.line): f for f in report.unusable if f.manifest in [Path(path) for path in paths]}
            first = next(iter(faulty.values()), "it holds none")
            raise TrainingError(f"{', '.join(paths)}: none of its {len(faulty)} utterances can be used; {first}")
    training, validation = (_pack(paths, report.usable(split), config, say) for split, paths in splits.items())
    if config.data.exclude is not None:
        _exclude(training, config.data.exclude, say)
    if config.features.equalize:
        _equalize(training, say)
        _equalize(validation, say)
    return Corpora(training, validation)


def _pack(
    paths: Sequence[str], utterances: Sequence[Utterance], config: Config, say: Callable[[str], None]
) -> PackedCorpus:
    normalizer, rate = config.text.normalizer, config.features.sample_rate
    normalized = [replace(utterance, text=normalizer(utterance.text or "")) for utterance in utterances]
    name = "+".join(Path(path).stem for path in paths)
    corpus = pack(normalized, rate, Path(paths[0]).with_name(f"{name}.{rate}.arrow"))
    if corpus.errors:  # changed since the check
        _say_left_out([error for _, error in corpus.errors], "unreadable", say)
    return corpus


def read_ids(path: str | Path) -> set[str]:
    """The ids that a file lists, one a line. Raises ConfigError if it cannot be read."""
    return {line.strip() for line in read_lines(Path(path), ConfigError)} - {""}


def _exclude(corpus: PackedCorpus, path: str, say: Callable[[str], None]) -> None:
    """Takes the utterances that a file lists out of a corpus, and says how many."""
    ids, count = read_ids(path), len(corpus)
    kept = [index for index, utterance in enumerate(corpus.utterances) if utterance.id not in ids]
    if not kept:
        raise TrainingError(f"data.exclude: {path} lists all {count} training utterances; none is left")
    corpus.select(kept)
    excluded = count - len(kept)
    others = f"; {len(ids) - excluded} more ids of it are not among them" if len(ids) > excluded else ""
    say(f"excluded {excluded} of {count} training utterances, which {path} lists{others}")


def _equalize(corpus: PackedCorpus, say: Callable[[str], None]) -> None:
    """Evens out sources; says how many utterances name no speaker."""
    corpus.equalize()
    if nameless := sum(utterance.speaker is None for utterance in corpus.utterances):
        say(
            f"warning: features.equalize: {nameless} of {len(corpus)} utterances name no speaker; those in one folder "
            "are evened out together, as if of one"
        )


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


def _say_left_out(faults: Sequence[str], why: str, say: Callable[[str], None]) -> None:
    say(f"left out {len(faults)} utterances, {why}:")
    for fault in faults[:_NAMED]:
        say(f"  {fault}")
    if len(faults) > _NAMED:
        say(f"  … and {len(faults) - _NAMED} more")
