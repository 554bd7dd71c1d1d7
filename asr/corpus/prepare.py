"""Preparation of a corpus: recognise its format, read it, divide it into splits, and write the manifests."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.corpus.manifest import write_manifest
from asr.corpus.readers import READERS
from asr.corpus.readers.files import SourceError, is_file
from asr.corpus.readers.reader import Splits
from asr.corpus.split import split
from asr.errors import raise_problems
from asr.utterance import Utterance

SPLITS = ("train", "validation", "test")
DEFAULT_FRACTIONS = (0.8, 0.1, 0.1)  # shares of train, validation and test
ASIDE = UNTRANSCRIBED, MISSING = "untranscribed", "missing"  # manifests of utterances that cannot be trained on


def _text_key(utterance: Utterance) -> str:
    """Return a key that ignores case, white space and Unicode composition of the text."""
    return " ".join(unicodedata.normalize("NFC", utterance.text or "").casefold().split())


SPLIT_KEYS: dict[str, Callable[[Utterance], str]] = {
    "id": lambda utterance: utterance.id,
    "speaker": lambda utterance: utterance.speaker or "",
    "text": _text_key,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """The result of `prepare`: the format that was read, and the utterances of each manifest that was written."""

    source: Path  # the folder or file with the corpus, which may be inside the source that was given
    format: str
    other_formats: tuple[str, ...]  # formats that also recognise the source
    divided: bool  # True if utterances were divided by hash, False if all splits are those of the source
    manifests: Splits
    stale: tuple[str, ...]  # manifests in the output folder that another run wrote

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
    **options: str | None,
) -> Prepared:
    """Write a manifest for each split of the corpus at `source` into the folder `out`.

    Recordings without a text go to `untranscribed.jsonl`, and texts without a recording to `missing.jsonl`. `format`
    is a key of READERS (default: the format that is recognised). Splits of the source are kept; `divide` makes the
    others from `fractions` and `by`. `options` go to the reader: `tier`, `text_suffix`, `pattern`. Raises SourceError.
    """
    if not source.exists():
        raise SourceError(f"{source}: no such file or folder; correct the path")
    if out.resolve() == source.resolve() or out.is_file():
        raise SourceError(f"-o {out}: must be a folder for the manifests that is not the source; give another one")
    if by not in SPLIT_KEYS:
        raise SourceError(f"--by {by}: must be one of {', '.join(SPLIT_KEYS)}")
    place, names = recognise(source, format)
    reader = READERS[names[0]]
    given = {option: value for option, value in options.items() if value is not None}
    if unknown := given.keys() - reader.options:
        flags = ", ".join(f"--{option.replace('_', '-')}" for option in sorted(unknown))
        raise SourceError(f"{place}: is read as {reader.title}, which has no option {flags}; try another --format")
    splits = reader.read(place, **given)
    if not any(splits.values()):
        raise SourceError(f"{place}: holds no utterance to read as {reader.title}; try another --format")
    _require_valid_names(source, splits)
    manifests = divide(_set_aside(source, splits), fractions, by)
    order = [*SPLITS, *(name for name in manifests if name not in (*SPLITS, *ASIDE)), *ASIDE]
    manifests = {name: manifests[name] for name in order if name in manifests}
    try:
        for name, utterances in reversed(manifests.items()):  # train last: if it exists, make takes all as done
            write_manifest(out / f"{name}.jsonl", utterances)
        stale = sorted(path.name for path in out.glob("*.jsonl") if path.stem not in manifests)
    except OSError as error:
        raise SourceError(
            f"{out}: cannot write the manifests: {error.strerror or error}; choose another folder with -o"
        ) from None
    return Prepared(place, names[0], tuple(names[1:]), "" in splits or fractions is not None, manifests, tuple(stale))


def recognise(source: Path, format: str | None = None) -> tuple[Path, list[str]]:
    """Return the place of the corpus, which may be the only folder in `source`, and its formats, best first."""
    if format is not None and format not in READERS:
        raise SourceError(f"--format {format}: must be one of {', '.join(READERS)}")
    readers = {name: READERS[name] for name in ([format] if format else READERS)}
    for place in _levels(source):
        names = [name for name, reader in readers.items() if not reader.is_fallback and reader.recognises(place)]
        if names:
            return place, names
    if names := [name for name, reader in readers.items() if reader.is_fallback and reader.recognises(source)]:
        return source, names
    if format is not None:
        return source, [format]  # the error of the reader says best what is missing
    raise SourceError(f"{source}: {_inventory(source)}; see docs/prepare.md for the formats that can be read")


def divide(splits: Splits, fractions: Sequence[float] | None, by: str) -> Splits:
    """Divide utterances without a split into `train`, `validation` and `test`; with `fractions`, divide `train`.

    All other splits are kept. The hash of the key `by` (see SPLIT_KEYS) decides, so that new data never moves an
    utterance to another split. Raises SourceError if a split would be empty or is already there.
    """
    if fractions is None and "" not in splits:
        return splits
    fractions = fractions or DEFAULT_FRACTIONS
    origin = "" if "" in splits else "train"
    if origin not in splits:
        raise SourceError(
            f"--split: the source has the splits {', '.join(splits)}, but no train to divide; leave --split out"
        )
    if by == "speaker" and any(utterance.speaker is None for utterance in splits[origin]):
        first = next(utterance.id for utterance in splits[origin] if utterance.speaker is None)
        raise SourceError(f"--by speaker: some utterances name no speaker, the first is {first}; use --by id or text")
    parts = dict(zip(SPLITS, split(splits[origin], fractions, SPLIT_KEYS[by]), strict=False))
    kept = {name: utterances for name, utterances in splits.items() if name != origin}
    wanted = {name for name, fraction in zip(SPLITS, fractions, strict=False) if fraction > 0}
    for name in wanted:
        if name in kept and name not in ASIDE:
            raise SourceError(f"--split: the source has its own {name}, which is kept; give it the share 0")
        if not parts[name]:
            raise SourceError(
                f"--split: none of {len(splits[origin])} utterances is in {name}, by the hash of its {by}; "
                f"give {name} a larger share{', or use --by id' if by != 'id' else ''}"
            )
    return kept | {name: part for name, part in parts.items() if name in wanted}


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
        yield f"{out / name}.jsonl: {len(rows)} utterances" + (
            f", {speakers} speaker{'s' * (speakers > 1)}" if speakers else ""
        )
        if name in ASIDE:
            what = "recordings without a text" if name == UNTRANSCRIBED else "texts without a recording"
            yield f"  {what}: {', '.join(row.id for row in rows[:3])}{', …' if len(rows) > 3 else ''}"
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
    if "train" in splits and "validation" not in splits:
        yield "there is no validation split, which training needs; --split 0.9,0.1 takes it out of train"
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


def _set_aside(source: Path, splits: Splits) -> Splits:
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
    if not usable:
        untranscribed, missing = (_names(aside[name]) for name in ASIDE)
        raise SourceError(
            f"{source}: nothing to train on: recordings without a text: {untranscribed}; texts without a recording: "
            f"{missing}. A text file must have the name of its recording, or a table must list both. If the names of "
            r"the recordings hold the text, take it from there with --pattern '(?P<text>…)'"
        )
    return usable | {name: utterances for name, utterances in aside.items() if utterances}


def _names(utterances: Sequence[Utterance]) -> str:
    first = f" ({', '.join(str(utterance.audio) for utterance in utterances[:3])} …)" if utterances else ""
    return f"{len(utterances)}{first}"


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"


def _can_be_written(name: str) -> bool:
    try:
        return b"\0" not in name.encode()
    except UnicodeEncodeError:
        return False
