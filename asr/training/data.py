"""The data of a run: open the corpora, learn the units, and name everything that is left out before the first epoch."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asr.config import Config, TextConfig
from asr.corpus.cache import cached
from asr.corpus.check import check, settings_of
from asr.corpus.check_verdicts import SUSPECT
from asr.corpus.context import rooms
from asr.corpus.corpus import Corpus
from asr.corpus.pack import PackedCorpus, pack
from asr.corpus.streamed import StreamedCorpus
from asr.errors import ConfigError, TextError, TrainingError
from asr.files import read_lines
from asr.text import Units, describe_characters, read_units
from asr.training.streamed import open_streamed, say_left_out
from asr.utterance import Utterance
from asr.wording import counted

_NAMED = 5  # ambiguous parts of texts that are named one by one before the rest are counted
_TEXTS = 100_000  # texts, about, that stand for all
_AMBIGUOUS = 10_000  # utterances of a streamed corpus whose texts are looked at for ambiguous parts


@dataclass(frozen=True, slots=True)
class Corpora:
    """Training and validation corpora; the text of an utterance is its normalised transcript, or its class.

    `sizes` and `hours` are the utterances and the audio of each training manifest, in the order of the utterances.
    """

    training: Corpus
    validation: PackedCorpus
    sizes: tuple[int, ...] = field(default=(), kw_only=True)
    hours: tuple[float, ...] = field(default=(), kw_only=True)


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
    training = corpora.training
    if isinstance(training, StreamedCorpus):
        texts = _Texts(training.symbols, training.place, [u.text or "" for u in training.utterances[:_AMBIGUOUS]])
    else:
        texts = _texts(config.text, training.utterances)
    units = _units(config.text, texts, say)
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
    return TrainingData(training, corpora.validation, units, sizes=corpora.sizes, hours=corpora.hours)


def open_corpora(config: Config, say: Callable[[str], None], *, strict: bool = False) -> Corpora:
    """Check and pack both corpora; name unusable utterances and leave them out. Streamed training data is indexed only.

    Utterances listed in `data.exclude` are left out of training, not of validation. Raises ManifestError for a bad
    manifest, ConfigError for an exclude list that cannot be read, and TrainingError if no utterance is left, or if
    `strict` is set and any utterance is unusable.
    """
    streamed = open_streamed(config, say, strict=strict) if config.data.is_streamed else None
    splits = {"train": config.data.train if streamed is None else (), "validation": config.data.validation}
    report = check(splits, training="train", **settings_of(config))
    for verdict, findings in groupby(report.unusable, key=lambda finding: finding.verdict):
        say_left_out([f"{finding}; {finding.cure}" for finding in findings], verdict, say)
    if strict and report.unusable:
        raise TrainingError(
            f"--strict: {counted('{} utterance<s> <is|are>', len(report.unusable))} unusable, as listed above; correct "
            "the data, or train without --strict"
        )
    if suspects := Counter(finding.verdict for finding in report.findings if finding.severity == SUSPECT):
        say("suspect, see `asr check`: " + ", ".join(f"{count} {verdict}" for verdict, count in suspects.items()))
    for split, paths in splits.items():
        if paths and not report.usable(split):
            faulty = {(f.manifest, f.line): f for f in report.unusable if f.manifest in [Path(path) for path in paths]}
            first = next(iter(faulty.values()), "the manifest is empty")
            raise TrainingError(f"{', '.join(paths)}: none of its {len(faulty)} utterances can be used; {first}")
    validation = _pack(config.data.validation, report.usable("validation"), config, say)
    if streamed is not None:
        hours = tuple(index.header.samples / streamed.sample_rate / 3600 for index in streamed.indices)
        return Corpora(streamed, validation, sizes=tuple(streamed.sizes), hours=hours)
    lines = [entry.utterance for entries in report.splits.values() for entry in entries]
    training = _pack(config.data.train, report.usable("train"), config, say, lines)
    if config.data.exclude is not None:
        _exclude(training, config.data.exclude, say)
    if config.features.equalize:
        _equalize(training, say)
        _equalize(validation, say)
    places = {Path(path): number for number, path in enumerate(config.data.train)}
    numbers = np.array([places[entry.manifest] for entry in report.usable_entries("train")])[training.rows]
    sizes, samples = (np.bincount(numbers, counts, len(places)) for counts in (None, training.num_samples))
    _require_each(config, sizes.tolist())
    hours = tuple((samples / training.sample_rate / 3600).tolist())
    return Corpora(training, validation, sizes=tuple(sizes.tolist()), hours=hours)


def _require_each(config: Config, sizes: Sequence[int]) -> None:
    """Raise TrainingError if a manifest without usable utterances has a share in the epochs."""
    if config.data.weights is not None or config.data.temperature is not None:
        for path, size in zip(config.data.train, sizes, strict=True):
            if not size:
                raise TrainingError(f"{path}: none of its utterances can be used; take it out of data.train")


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
        say_left_out([error for _, error in corpus.errors], "unreadable", say)
    return corpus


def some_texts(corpus: Corpus) -> list[str]:
    """Return the normalised texts of a corpus; of very many, some from all parts of the corpus."""
    utterances = corpus.utterances
    return [utterances[index].text or "" for index in range(0, len(corpus), 1 + len(corpus) // _TEXTS)]


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


class _Texts(NamedTuple):
    """Training texts: how often each unit occurs, where the first of some units is, and texts to look at."""

    symbols: Counter[str]
    place: Callable[[Collection[str]], str]
    some: Sequence[str]


def _texts(config: TextConfig, utterances: Sequence[Utterance]) -> _Texts:
    symbols = read_units(config.units_file, config.units) if config.units_file else ()
    split = Units(symbols, config.units).split

    def place(units: Collection[str]) -> str:
        return f"utterance {next(one.id for one in utterances if not set(units).isdisjoint(split(one.text or '')))}"

    counts = _count(utterances, lambda text: Counter(split(text)))
    return _Texts(counts, place, [utterance.text or "" for utterance in utterances])


def _units(config: TextConfig, texts: _Texts, say: Callable[[str], None]) -> Units:
    """Learn units from training texts, or read them from the units file; report doubtful units."""
    if config.units_file is None:
        units = Units.of(texts.symbols, config.units)
        digits = Counter[str]()
        for symbol, count in texts.symbols.items():
            digits.update({c: symbol.count(c) * count for c in symbol if unicodedata.category(c)[0] == "N"})
        if digits and config.units != "phones":
            say(
                f"warning: training text has digits: {describe_characters(digits)}; write numbers as words, or, if "
                "digits mark tones or letters, list them in a text.units_file"
            )
        return units
    symbols = read_units(config.units_file, config.units)
    spaced = config.units != "phones" and " " in texts.symbols
    units = Units([" ", *symbols] if spaced else symbols, config.units)
    if unknown := Counter({unit: count for unit, count in texts.symbols.items() if unit not in units.symbols}):
        raise TextError(
            f"{config.units_file}: does not list {describe_characters(unknown)} of the training text, first in "
            f"{texts.place(unknown)}; add the missing characters to the file, or correct the text"
        )
    if unused := set(symbols) - texts.symbols.keys():
        say(f"warning: units of {config.units_file} that do not occur in training text: {' '.join(sorted(unused))}")
    ambiguous: Counter[str] = sum(map(units.ambiguities, texts.some), Counter())
    if ambiguous:
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
