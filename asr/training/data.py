"""The data of a run: open the corpora, learn the units, and name everything that is left out before the first epoch."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from asr.config import Config, TextConfig
from asr.corpus.cache import cached
from asr.corpus.check import check, settings_of
from asr.corpus.check_verdicts import SUSPECT
from asr.corpus.context import rooms
from asr.corpus.pack import PackedCorpus, pack
from asr.errors import ConfigError, TextError, TrainingError
from asr.files import read_lines
from asr.text import Units, describe_characters, read_units
from asr.utterance import Utterance
from asr.wording import counted

_NAMED = 5  # utterances named one by one before the rest are counted


@dataclass(frozen=True, slots=True)
class Corpora:
    """Training and validation corpora; the text of an utterance is its normalised transcript, or its class."""

    training: PackedCorpus
    validation: PackedCorpus


@dataclass(frozen=True, slots=True)
class TrainingData(Corpora):
    """Training and validation corpora, and the units of their texts."""

    units: Units


def open_data(config: Config, say: Callable[[str], None], *, strict: bool = False) -> TrainingData:
    """Open both corpora with `open_corpora`, and learn the units of the training texts.

    Raises the errors of `open_corpora`, and TextError if training data has no text or text with characters that the
    units file does not list, or if no validation text can be written in the units.
    """
    corpora = open_corpora(config, say, strict=strict)
    units = _units(config.text, corpora.training.utterances, say)
    say(f"texts: {config.text.normalizer}; units: {len(units.symbols)} {units.kind}")
    validation = corpora.validation.utterances
    if not any(utterance.text for utterance in validation):
        raise TextError(
            f"{', '.join(config.data.validation)}: all of its {len(validation)} texts are empty, so there is no error "
            "rate; add utterances with words"
        )
    if unknown := _count(validation, units.unknown):
        foreign, characters = sum(bool(units.unknown(u.text or "")) for u in validation), describe_characters(unknown)
        if foreign == len(validation):
            raise TextError(
                f"{', '.join(config.data.validation)}: none of its {foreign} texts can be written in the units of the "
                f"training text, which lacks {characters}; validate on texts in the script of the training text"
            )
        say(
            f"warning: {foreign} of {len(validation)} validation texts have characters that training text does not "
            f"have, and count in CER and WER but not in the validation loss: {characters}"
        )
    return TrainingData(corpora.training, corpora.validation, units)


def open_corpora(config: Config, say: Callable[[str], None], *, strict: bool = False) -> Corpora:
    """Check and pack both corpora; name unusable utterances and leave them out.

    Utterances listed in `data.exclude` are left out of training, not of validation. Raises ManifestError for a bad
    manifest, ConfigError for an exclude list that cannot be read, and TrainingError if no utterance is left, or if
    `strict` is set and any utterance is unusable.
    """
    splits = {"train": config.data.train, "validation": config.data.validation}
    report = check(splits, training="train", **settings_of(config))
    for verdict, findings in groupby(report.unusable, key=lambda finding: finding.verdict):
        _say_left_out([f"{finding}; {finding.cure}" for finding in findings], verdict, say)
    if strict and report.unusable:
        raise TrainingError(
            f"--strict: {counted('{} utterance<s> <is|are>', len(report.unusable))} unusable, as listed above; correct "
            "the data, or train without --strict"
        )
    if suspects := Counter(finding.verdict for finding in report.findings if finding.severity == SUSPECT):
        say("suspect, see `asr check`: " + ", ".join(f"{count} {verdict}" for verdict, count in suspects.items()))
    for split, paths in splits.items():
        if not report.usable(split):
            faulty = {(f.manifest, f.line): f for f in report.unusable if f.manifest in [Path(path) for path in paths]}
            first = next(iter(faulty.values()), "the manifest is empty")
            raise TrainingError(f"{', '.join(paths)}: none of its {len(faulty)} utterances can be used; {first}")
    lines = [entry.utterance for entries in report.splits.values() for entry in entries]
    training = _pack(config.data.train, report.usable("train"), config, say, lines)
    validation = _pack(config.data.validation, report.usable("validation"), config, say)
    if config.data.exclude is not None:
        _exclude(training, config.data.exclude, say)
    if config.features.equalize:
        _equalize(training, say)
        _equalize(validation, say)
    return Corpora(training, validation)


def _pack(
    paths: Sequence[str],
    utterances: Sequence[Utterance],
    config: Config,
    say: Callable[[str], None],
    lines: Sequence[Utterance] | None = None,
) -> PackedCorpus:
    """Pack utterances with normalised texts; with the `lines` of all manifests, pack also the pauses around them."""
    normalizer, rate = config.text.normalizer, config.features.sample_rate
    normalized = [replace(utterance, text=normalizer(utterance.text or "")) for utterance in utterances]
    name = "+".join(Path(path).stem for path in paths)
    beside = Path(paths[0]).with_name(f"{name}.{rate}.arrow")
    room = None if lines is None else rooms(utterances, lines)
    corpus = pack(normalized, rate, cached(beside), also=beside, rooms=room)
    if corpus.errors:  # changed since the check
        _say_left_out([error for _, error in corpus.errors], "unreadable", say)
    return corpus


def read_ids(path: str | Path) -> set[str]:
    """Read a file of ids, one id a line. Raises ConfigError if the file cannot be read."""
    return {line.strip() for line in read_lines(Path(path), ConfigError)} - {""}


def _exclude(corpus: PackedCorpus, path: str, say: Callable[[str], None]) -> None:
    """Remove the utterances that a file lists from a corpus, and report their number."""
    ids, count = read_ids(path), len(corpus)
    kept = [index for index, utterance in enumerate(corpus.utterances) if utterance.id not in ids]
    if not kept:
        raise TrainingError(f"data.exclude: {path} lists all {count} training utterances, so none is left")
    corpus.select(kept)
    excluded = count - len(kept)
    others = f"; {len(ids) - excluded} of its ids are not in the training data" if len(ids) > excluded else ""
    say(f"excluded {excluded} of {count} training utterances, listed in {path}{others}")


def _equalize(corpus: PackedCorpus, say: Callable[[str], None]) -> None:
    """Equalise the recordings of each speaker; report how many utterances name no speaker."""
    corpus.equalize()
    if nameless := sum(utterance.speaker is None for utterance in corpus.utterances):
        say(
            f"warning: features.equalize: {nameless} of {len(corpus)} utterances name no speaker; the utterances of a "
            "folder are equalised as if they were of one speaker"
        )


def _units(config: TextConfig, utterances: Sequence[Utterance], say: Callable[[str], None]) -> Units:
    """Learn units from training texts, or read them from the units file; report doubtful units."""
    if config.units_file is None:
        units = Units.learn((utterance.text or "" for utterance in utterances), config.units)
        digits = _count(utterances, lambda text: Counter(c for c in text if unicodedata.category(c)[0] == "N"))
        if digits and config.units != "phones":
            say(
                f"warning: training text has digits: {describe_characters(digits)}; write numbers as words, or, if "
                "digits mark tones or letters, list them in a text.units_file"
            )
        return units
    symbols = read_units(config.units_file, config.units)
    spaced = config.units != "phones" and any(" " in (utterance.text or "") for utterance in utterances)
    units = Units([" ", *symbols] if spaced else symbols, config.units)
    if unknown := _count(utterances, units.unknown):
        first = next(utterance.id for utterance in utterances if units.unknown(utterance.text or ""))
        raise TextError(
            f"{config.units_file}: does not list {describe_characters(unknown)} of the training text, first in "
            f"utterance {first}; add the missing characters to the file, or correct the text"
        )
    if unused := set(symbols) - _count(utterances, lambda text: Counter(units.split(text))).keys():
        say(f"warning: units of {config.units_file} that do not occur in training text: {' '.join(sorted(unused))}")
    if ambiguous := _count(utterances, units.ambiguities):
        say(f"{config.units_file}: parts of the training text can be divided into units in several ways; they become")
        for part, count in ambiguous.most_common(_NAMED):
            say(f"  {' + '.join(units.split(part))}, {counted('{} time<s>', count)}")
        if len(ambiguous) > _NAMED:
            say(f"  … and {len(ambiguous) - _NAMED} more")
    return units


def _count(utterances: Sequence[Utterance], counts: Callable[[str], Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for utterance in utterances:
        total.update(counts(utterance.text or ""))
    return total


def _say_left_out(faults: Sequence[str], why: str, say: Callable[[str], None]) -> None:
    say(f"left out {counted('{} utterance<s>', len(faults))}, {why}:")
    for fault in faults[:_NAMED]:
        say(f"  {fault}")
    if len(faults) > _NAMED:
        say(f"  … and {len(faults) - _NAMED} more")
