"""Preparation of a corpus: recognise its format, read it, divide it into splits, and write the manifests."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from asr.corpus.amount import Amount, measure
from asr.corpus.config_file import describe_config, write_config
from asr.corpus.expectation import comparison
from asr.corpus.manifest import write_manifest
from asr.corpus.readers import READERS
from asr.corpus.readers.files import SourceError, is_file
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import note, reading
from asr.corpus.remarks import advice, remarks
from asr.corpus.split import fill, split, top_up
from asr.errors import raise_problems
from asr.utterance import Utterance
from asr.wording import counted

SPLITS = ("train", "validation", "test")
DEFAULT_FRACTIONS = (0.8, 0.1, 0.1)  # shares of train, validation and test
SMALL_FRACTIONS = (0.8, 0.2)  # shares of train and validation
SMALL = 100  # utterances; fewer have no test split by default
ENOUGH = 20  # utterances of validation, which choose the epoch of a model
ASIDE = UNTRANSCRIBED, MISSING = "untranscribed", "missing"  # manifests of utterances that cannot be trained on


def _text_key(utterance: Utterance) -> str:
    """Return a key that ignores case, white space and Unicode composition of the text."""
    return " ".join(unicodedata.normalize("NFC", utterance.text or "").casefold().split())


SPLIT_KEYS: dict[str, Callable[[Utterance], str]] = {
    "id": lambda utterance: utterance.id,
    "speaker": lambda utterance: utterance.speaker or "",
    "text": _text_key,
}


_KEY_NAMES = {"id": "{} utterance<s>", "speaker": "{} speaker<s>", "text": "{} text<s>"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """The result of `prepare`: the format that was read, and the utterances of each manifest that was written."""

    source: Path  # the folder or file with the corpus, which may be inside the source that was given
    format: str
    other_formats: tuple[str, ...]  # formats that also recognise the source
    divided: bool  # True if utterances were divided by hash, False if all splits are those of the source
    manifests: Splits
    stale: tuple[str, ...]  # manifests in the output folder that another run wrote
    amount: Amount  # speech of the training split
    config: Path | None = None  # configuration beside the manifests, if there are train and validation splits
    notes: tuple[str, ...] = ()  # what was guessed, left out, matched loosely, or not used
    faults: tuple[str, ...] = ()  # files that could not be read, with the reasons; all others are in the manifests

    @property
    def missing(self) -> int:
        """Return the number of texts without a recording."""
        return len(self.manifests.get(MISSING, ()))


def prepare(
    source: Path,
    out: Path,
    *,
    format: str | None = None,
    fractions: Sequence[float] | None = None,
    by: str = "id",
    encoding: str | None = None,
    pair: Sequence[str] = (),
    drop: Sequence[str] = (),
    **options: str | None,
) -> Prepared:
    """Write a manifest for each split of the corpus at `source` into the folder `out`.

    Recordings without a text go to `untranscribed.jsonl`, and texts without a recording to `missing.jsonl`. `format`
    is a key of READERS (default: the format that is recognised). Splits of the source are kept; `divide` makes the
    others from `fractions` and `by`. `write_config` writes a configuration for training beside the manifests.

    `encoding` is that of texts that are not UTF-8. `pair` holds patterns for names that differ (see `pairs.py`).
    Utterances with a text in `drop` are left out. `options` go to the reader: `tier`, `media`, `text_suffix`,
    `pattern`, `columns`. Raises SourceError.
    """
    if not source.exists():
        raise SourceError(f"{source}: no such file or folder; correct the path")
    if out.resolve() == source.resolve() or out.is_file():
        raise SourceError(f"-o {out}: must be a folder for the manifests that is not the source; give another one")
    if by not in SPLIT_KEYS:
        raise SourceError(f"--by {by}: must be one of {', '.join(SPLIT_KEYS)}")
    given = {option: value for option, value in options.items() if value is not None}
    with reading(encoding, pair) as found:
        place, names = recognise(source, format, given.keys())
        reader = READERS[names[0]]
        if unknown := given.keys() - reader.options:
            flags = ", ".join(f"--{option.replace('_', '-')}" for option in sorted(unknown))
            raise SourceError(f"{place}: is read as {reader.title}, which has no option {flags}; try another --format")
        splits = reader.read(place, **given)
        if not any(splits.values()):
            problem = f"{place}: holds no utterance to read as {reader.title}; try another --format"
            raise SourceError("\n".join([problem, *advice(place, reader, found, [])]))
        _require_valid_names(source, splits)
        splits = _set_aside(_leave_out(splits, drop))
        if not splits.keys() - set(ASIDE):
            raise SourceError(_nothing_usable(source, splits, advice(place, reader, found, [])))
        manifests = divide(splits, fractions, by)
        usable = [row for name, rows in manifests.items() if name not in ASIDE for row in rows]
        notes = [*found.notes, *remarks(usable), *advice(place, reader, found, usable)]
    amount = measure(manifests.get("train", ()))
    order = [*SPLITS, *(name for name in manifests if name not in (*SPLITS, *ASIDE)), *ASIDE]
    manifests = {name: manifests[name] for name in order if manifests.get(name)}
    try:
        for name, utterances in reversed(manifests.items()):  # train last: if it exists, make takes all as done
            write_manifest(out / f"{name}.jsonl", utterances)
        stale = sorted(path.name for path in out.glob("*.jsonl") if path.stem not in manifests)
        config = None
        if {"train", "validation"} <= manifests.keys():
            config = write_config(out, manifests["train"], amount, notes.append)
    except OSError as error:
        raise SourceError(
            f"{out}: cannot write the manifests: {error.strerror or error}; choose another folder with -o"
        ) from None
    return Prepared(
        source=place,
        format=names[0],
        other_formats=tuple(names[1:]),
        divided="" in splits or fractions is not None,
        manifests=manifests,
        stale=tuple(stale),
        config=config,
        amount=amount,
        notes=tuple(notes),
        faults=tuple(found.faults),
    )


def recognise(source: Path, format: str | None = None, options: Collection[str] = ()) -> tuple[Path, list[str]]:
    """Return the place of the corpus, which may be the only folder in `source`, and its formats, best first.

    Formats that have all `options` come first.
    """
    if format is not None and format not in READERS:
        raise SourceError(f"--format {format}: must be one of {', '.join(READERS)}")
    readers = {name: READERS[name] for name in ([format] if format else READERS)}
    wanted = {name: reader for name, reader in readers.items() if options and reader.options.issuperset(options)}
    for tried in (wanted, readers):
        for place in _levels(source):
            names = [name for name, reader in tried.items() if not reader.is_fallback and reader.recognises(place)]
            names = names or [name for name, reader in tried.items() if options and _accepts(reader, options, place)]
            if names:
                return place, names
        if names := [name for name, reader in tried.items() if reader.is_fallback and reader.recognises(source)]:
            return source, names
    if format is not None:
        return source, [format]  # the error of the reader says best what is missing
    raise SourceError(f"{source}: {_inventory(source)}; see docs/prepare.md for the formats that can be read")


def _accepts(reader: Reader, options: Collection[str], place: Path) -> bool:
    return reader.accepts is not None and reader.options.issuperset(options) and reader.accepts(place)


def splits_in(folder: Path) -> list[Path]:
    """Return the manifests of train, validation and test in a folder that `prepare` wrote. Raises SourceError."""
    found = [path for name in SPLITS if (path := folder / f"{name}.jsonl").is_file()]
    if not found:
        raise SourceError(f"{folder}: holds no train.jsonl, validation.jsonl or test.jsonl; name manifests")
    return found


def divide(splits: Splits, fractions: Sequence[float] | None, by: str) -> Splits:
    """Divide utterances without a split into `train`, `validation` and `test`; with `fractions`, divide `train`.

    All other splits are kept. The hash of the key `by` (see SPLIT_KEYS) decides, so that new data never moves an
    utterance to another split. Only a split that would be empty gets the nearest utterances, which is noted. If no
    shares were asked for, fewer than SMALL keys have no test split, and validation gets utterances of train until it
    has ENOUGH or a fifth of all: with more data they move back, and no utterance ever moves from train to test.

    Raises SourceError if there are too few keys for the splits that are asked for, or if a split is already there.
    """
    if fractions is None and "" not in splits:
        return splits
    origin = "" if "" in splits else "train"
    if origin not in splits:
        raise SourceError(
            f"--split: the source has the splits {', '.join(splits)}, but no train to divide; leave --split out"
        )
    if by == "speaker" and any(utterance.speaker is None for utterance in splits[origin]):
        first = next(utterance.id for utterance in splits[origin] if utterance.speaker is None)
        raise SourceError(f"--by speaker: some utterances name no speaker, the first is {first}; use --by id or text")
    key = SPLIT_KEYS[by]
    count = len(set(map(key, splits[origin])))
    by_default = fractions is None and by != "speaker"
    if by_default and count < SMALL:
        fractions = SMALL_FRACTIONS[:count]
        left_out = "test is" if count > 1 else "validation and test are"
        found = counted(f"{_KEY_NAMES[by]} <is|are> too few for train, validation and test", count)
        note(found, f"{left_out} left out")
    fractions = fractions or DEFAULT_FRACTIONS
    wanted = [name for name, fraction in zip(SPLITS, fractions, strict=False) if fraction > 0]
    kept = {name: utterances for name, utterances in splits.items() if name != origin}
    for name in wanted:
        if name in kept and name not in ASIDE:
            raise SourceError(f"--split: the source has its own {name}, which is kept; give it the share 0")
    if count < len(wanted):
        raise SourceError(
            f"--split: {counted(_KEY_NAMES[by], count)} cannot fill {len(wanted)} splits ({', '.join(wanted)}); "
            + (f"use --split {'0.8,0.2' if count == 2 else '1'}" if count < 3 else "use fewer shares")
            + (", or --by id" if by != "id" else "")
        )
    parts = split(splits[origin], fractions, key)
    for utterance, index in fill(parts, fractions, key):
        note(
            "{} utterance<s> <was|were> moved to a split that would be empty; with more data, the hash may move "
            "<it|them> again",
            f"{utterance.id} to {SPLITS[index]}",
        )
    if by_default and len(parts) > 1:
        top_up(parts, 1, min(ENOUGH, len(splits[origin]) // 5), key)
    if len(parts) > 1 and len(parts[1]) < ENOUGH:
        note(
            "validation has few utterances",
            f"{len(parts[1])}; asr train --folds 5 validates on every utterance, and then learns from all",
        )
    return kept | {name: part for name, part in zip(SPLITS, parts, strict=False) if name in wanted}


def describe(prepared: Prepared, out: Path) -> Iterator[str]:
    """Yield the lines of the report: the format, three utterances, the manifests written, and warnings."""
    yield f"{prepared.source}: {READERS[prepared.format].title}"
    if prepared.other_formats:
        yield f"  it can also be read with --format {' or '.join(prepared.other_formats)}"
    splits = {name: rows for name, rows in prepared.manifests.items() if name not in ASIDE}
    samples = sorted((row for rows in splits.values() for row in rows), key=lambda row: row.id)
    for row in samples[:3]:
        part = "" if row.duration is None else f" {row.offset:.2f}-{row.offset + row.duration:.2f} s"
        speaker = "" if row.speaker is None else f" [{row.speaker}]"
        yield f"  {row.audio.name}{part}{speaker}: {_shorten(row.text or '')}"
    for name, rows in prepared.manifests.items():
        speakers = len({row.speaker for row in rows} - {None})
        yield f"{out / name}.jsonl: {counted('{} utterance<s>', len(rows))}" + (
            f", {counted('{} speaker<s>', speakers)}" if speakers else ""
        )
        if name in ASIDE:
            what = "recordings without a text" if name == UNTRANSCRIBED else "texts without a recording"
            yield f"  {what}: {', '.join(row.id for row in rows[:3])}{', …' if len(rows) > 3 else ''}"
    if prepared.amount.hours is not None and "train" in splits:
        yield f"train has {prepared.amount}"
        yield f"  {comparison(prepared.amount.hours, [row.text or '' for row in splits['train']])}"
    for by in ("speaker", "text"):
        places = defaultdict(set)
        for name, rows in splits.items():
            for row in rows:
                if key := SPLIT_KEYS[by](row):
                    places[key].add(name)
        shared = sum(len(names) > 1 for names in places.values())
        # A small set of texts (such as digits) or a single speaker is in every split on purpose.
        if shared and len(places) > (len(samples) / 2 if by == "text" else 1):
            cure = f"; --by {by} keeps each in one" if prepared.divided else ""
            yield f"{shared} of {len(places)} {by}s are in more than one split{cure}"
    if len(splits.get("train", ())) > 1 and "validation" not in splits:
        yield "there is no validation split, which training needs; --split 0.9,0.1 takes it out of train"
    yield from prepared.notes
    if prepared.config is not None:
        yield from describe_config(prepared.config)
    if prepared.stale:
        yield f"{out}: {', '.join(prepared.stale)} not from this run; delete the files that you no longer need"


def parse_fractions(text: str) -> list[float]:
    """Parse the shares of train, validation and test, such as `0.8,0.1,0.1`; the last ones may be left out."""
    try:
        fractions = [float(part) for part in text.split(",")]
    except ValueError:
        fractions = []
    if not 1 <= len(fractions) <= 3 or not all(0 <= fraction < 1e9 for fraction in fractions) or fractions[0] == 0:
        raise SourceError(f"--split {text}: must be shares of train, validation and test, such as 0.8,0.1,0.1")
    return fractions


def _levels(source: Path) -> Iterator[Path]:
    """Yield `source`, then the folder inside it, as long as each folder holds only one folder."""
    while True:
        yield source
        try:
            inside = [path for path in source.iterdir() if not path.name.startswith(".")] if source.is_dir() else []
        except OSError as error:
            raise SourceError(f"{source}: cannot be read: {error.strerror}; check its permissions") from None
        if len(inside) != 1 or not inside[0].is_dir() or inside[0].is_symlink():
            return
        source = inside[0]


def _inventory(source: Path) -> str:
    if source.is_file():
        return f"{source.suffix or 'a file without suffix'} is not a format of corpora"
    suffixes = Counter(Path(name).suffix or name for _, _, names in os.walk(source) for name in names)
    found = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5)) or "nothing"
    return f"holds no known format and no recording (found: {found})"


def _require_valid_names(source: Path, splits: Splits) -> None:
    """Raise SourceError for names of splits or files that cannot be written, and for repeated ids."""
    problems = []
    places: dict[str, str] = {}
    for name, utterances in splits.items():
        if name and (not re.fullmatch(r"\w[\w.-]*", name) or name in ASIDE):
            problems.append(f"{source}: a split cannot have the name {name!r}; use letters, digits, - and _")
        for utterance in utterances:
            place = f"{utterance.audio} ({name or 'undivided'})"
            if not _can_be_written(str(utterance.audio)):
                problems.append(f"{place!r}: is not a name in UTF-8; rename the file, for example with convmv")
            if utterance.id in places:
                problems.append(f"{place}: has the id {utterance.id} of {places[utterance.id]}; ids must differ")
            places[utterance.id] = place
    raise_problems(problems, SourceError)


def _leave_out(splits: Splits, texts: Sequence[str]) -> Splits:
    """Leave out the utterances whose whole text is one of `texts`."""
    wanted = {" ".join(text.split()) for text in texts}
    kept: Splits = {}
    counts: Counter[str] = Counter()
    for name, utterances in splits.items():
        kept[name] = []
        for utterance in utterances:
            text = " ".join((utterance.text or "").split())
            if utterance.text is not None and text in wanted:
                counts[text] += 1
            else:
                kept[name].append(utterance)
    for text in sorted(wanted):
        note(
            f"--drop {quote(text)}",
            counted("{} utterance<s> <has|have> this text, and <is|are> left out", counts[text]),
        )
    return kept


def _set_aside(splits: Splits) -> Splits:
    """Move recordings without a text, and texts without a recording, to splits of their own (see ASIDE)."""
    exists = {path: is_file(path) for path in {row.audio for rows in splits.values() for row in rows}}
    usable: Splits = {}
    aside: Splits = {name: [] for name in ASIDE}
    for name, utterances in splits.items():
        for utterance in utterances:
            if not exists[utterance.audio]:
                aside[MISSING].append(utterance)
            elif not (utterance.text or "").strip():
                aside[UNTRANSCRIBED].append(utterance)
            else:
                usable.setdefault(name, []).append(utterance)
    return usable | aside


def _nothing_usable(source: Path, splits: Splits, advised: Sequence[str]) -> str:
    untranscribed, missing = (_names(splits[name]) for name in ASIDE)
    general = (
        "A text file must have the name of its recording, or a table must list both. If the names of the recordings "
        "hold the text, take it from there with --pattern '(?P<text>…)'"
    )
    return "\n".join(
        (
            f"{source}: nothing to train on: recordings without a text: {untranscribed}; texts without a recording: "
            f"{missing}",
            *(advised or [general]),
        )
    )


def _names(utterances: Sequence[Utterance]) -> str:
    names = list(dict.fromkeys(str(utterance.audio) for utterance in utterances))
    first = f" ({', '.join(names[:3])}{' …' if len(names) > 3 else ''})" if names else ""
    return f"{len(utterances)}{first}"


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:79] + "…"


def _can_be_written(name: str) -> bool:
    try:
        return b"\0" not in name.encode()
    except UnicodeEncodeError:
        return False
