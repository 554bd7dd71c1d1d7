"""Any folder of recordings and texts -> manifests: recognise what lies there, read it, divide it, write it."""

import inspect
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.corpus.manifest import write_manifest
from asr.corpus.readers import (
    audiofolder,
    common_voice,
    eaf,
    folder,
    json_list,
    kaldi,
    lhotse,
    librispeech,
    ljspeech,
    table,
    textgrid,
)
from asr.corpus.readers.files import SourceError, is_file
from asr.corpus.split import split
from asr.errors import raise_problems
from asr.utterance import Utterance

# In the order in which they are tried: what could be taken for something else first.
_READERS = (kaldi, librispeech, common_voice, audiofolder, lhotse, json_list, ljspeech, table, eaf, textgrid, folder)
FORMATS = {reader.__name__.rpartition(".")[2].replace("_", "-"): reader for reader in _READERS}
SPLITS = ("train", "validation", "test")
DEFAULT_FRACTIONS = (0.8, 0.1, 0.1)
ASIDE = UNTRANSCRIBED, MISSING = "untranscribed", "missing"  # manifests of what cannot be trained on


def _text_key(utterance: Utterance) -> str:
    """Equal for texts that differ in case, spaces or composition only."""
    return " ".join(unicodedata.normalize("NFC", utterance.text or "").casefold().split())


BY: dict[str, Callable[[Utterance], str]] = {
    "id": lambda utterance: utterance.id,
    "speaker": lambda utterance: utterance.speaker or "",
    "text": _text_key,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was recognised as which format, what else it might be, and the utterances of each manifest written."""

    source: Path
    format: str
    others: tuple[str, ...]
    divided: bool  # by us, not (only) by the source
    manifests: dict[str, list[Utterance]]
    left: tuple[str, ...]  # manifests that lie in the folder and are not from this run

    @property
    def missing(self) -> int:
        """How many texts have no recording."""
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
    """Writes `out`/SPLIT.jsonl for the corpus at `source`, and there too `untranscribed` and `missing`, if any.

    `format` is one of FORMATS, by default what is recognised. Splits of the source are kept; without any, or with
    `fractions`, see `divide`. `options` go to the reader: `tier`, `text_suffix`, `pattern`. Raises SourceError.
    """
    if not source.exists():
        raise SourceError(f"{source}: no such file or folder")
    if out.resolve() == source.resolve() or out.is_file():
        raise SourceError(f"-o {out}: give a folder for the manifests that is not the source and no file")
    if by not in BY:
        raise SourceError(f"--by {by}: must be one of {', '.join(BY)}")
    place, names = recognise(source, format)
    reader = FORMATS[names[0]]
    given = {option: value for option, value in options.items() if value is not None}
    if unknown := given.keys() - inspect.signature(reader.read).parameters.keys():
        flags = ", ".join(f"--{option.replace('_', '-')}" for option in sorted(unknown))
        raise SourceError(f"{place}: is read as {reader.NAME}, which has no {flags}; another --format may")
    splits = reader.read(place, **given)
    if not any(splits.values()):
        raise SourceError(f"{place}: holds nothing to read as {reader.NAME}")
    _require_sound(source, splits)
    manifests = divide(_set_aside(source, splits), fractions, by)
    order = [*SPLITS, *(name for name in manifests if name not in (*SPLITS, *ASIDE)), *ASIDE]
    manifests = {name: manifests[name] for name in order if name in manifests}
    try:
        for name, utterances in reversed(manifests.items()):  # train last: make takes it for the sign of a whole
            write_manifest(out / f"{name}.jsonl", utterances)
        left = sorted(path.name for path in out.glob("*.jsonl") if path.stem not in manifests)
    except OSError as error:
        raise SourceError(f"{out}: cannot write the manifests: {error.strerror or error}") from None
    return Prepared(place, names[0], tuple(names[1:]), "" in splits or fractions is not None, manifests, tuple(left))


def recognise(source: Path, format: str | None = None) -> tuple[Path, list[str]]:
    """Where the corpus lies, which may be the only folder in `source`, and its formats, the likeliest first."""
    if format is not None and format not in FORMATS:
        raise SourceError(f"--format {format}: must be one of {', '.join(FORMATS)}")
    readers = {name: FORMATS[name] for name in ([format] if format else FORMATS)}
    for place in _levels(source):
        names = [name for name, reader in readers.items() if reader is not folder and reader.recognises(place)]
        if names:
            return place, names
    if "folder" in readers and folder.recognises(source):
        return source, ["folder"]
    if format is not None:
        return source, [format]  # its own error says best what it misses
    raise SourceError(f"{source}: {_inventory(source)}; see docs/prepare.md for the layouts that can be read")


def divide(
    splits: dict[str, list[Utterance]], fractions: Sequence[float] | None, by: str
) -> dict[str, list[Utterance]]:
    """Splits by name, none of them "".

    Those given are kept; what has no split, or with `fractions` the split `train`, is divided into `train`,
    `validation` and `test`, each key `by` of an utterance by its own hash, so that adding data moves none.
    """
    if fractions is None and "" not in splits:
        return splits
    fractions = fractions or DEFAULT_FRACTIONS
    origin = "" if "" in splits else "train"
    if origin not in splits:
        raise SourceError(f"--split: the source is divided into {', '.join(splits)}; there is no train to take from")
    if by == "speaker" and any(utterance.speaker is None for utterance in splits[origin]):
        first = next(utterance.id for utterance in splits[origin] if utterance.speaker is None)
        raise SourceError(f"--by speaker: some utterances name no speaker, the first is {first}; use --by id or text")
    parts = dict(zip(SPLITS, split(splits[origin], fractions, BY[by]), strict=False))
    kept = {name: utterances for name, utterances in splits.items() if name != origin}
    wanted = {name for name, fraction in zip(SPLITS, fractions, strict=False) if fraction > 0}
    for name in wanted:
        if name in kept and name not in ASIDE:
            raise SourceError(f"--split: the source has its own {name}, which is kept; give it the share 0")
        if not parts[name]:
            raise SourceError(
                f"--split: no utterance of {len(splits[origin])} falls to {name}, by the hash of its {by}; "
                f"give it a larger share{', or use --by id' if by != 'id' else ''}"
            )
    return kept | {name: part for name, part in parts.items() if name in wanted}


def describe(prepared: Prepared, out: Path) -> Iterator[str]:
    """Lines that say what was recognised, with three rows of it, and what was written."""
    yield f"{prepared.source}: {FORMATS[prepared.format].NAME}"
    if prepared.others:
        yield f"  it can also be read with --format {' or '.join(prepared.others)}"
    splits = {name: rows for name, rows in prepared.manifests.items() if name not in ASIDE}
    samples = sorted((row for rows in splits.values() for row in rows), key=lambda row: row.id)
    for row in samples[:3]:
        part = "" if row.duration is None else f" {row.offset:.2f}-{row.offset + row.duration:.2f} s"
        speaker = "" if row.speaker is None else f" [{row.speaker}]"
        yield f"  {row.audio.name}{part}{speaker}: {_shorten(row.text or '')}"
    for name, rows in prepared.manifests.items():
        speakers = {row.speaker for row in rows} - {None}
        yield f"{out / name}.jsonl: {len(rows)} utterances" + (f", {len(speakers)} speakers" if speakers else "")
        if name in ASIDE:
            what = "recordings without a text" if name == UNTRANSCRIBED else "texts whose recording is not there"
            yield f"  {what}: {', '.join(row.id for row in rows[:3])}{', …' if len(rows) > 3 else ''}"
    for by in ("speaker", "text"):
        places = defaultdict(set)
        for name, rows in splits.items():
            for row in rows:
                if key := BY[by](row):
                    places[key].add(name)
        shared = sum(len(names) > 1 for names in places.values())
        # A small set of texts, such as digits, or one speaker, is in every split on purpose.
        if shared and len(places) > (len(samples) / 2 if by == "text" else 1):
            cure = f"; --by {by} keeps each in one" if prepared.divided else ""
            yield f"{shared} of {len(places)} {by}s are in more than one split{cure}"
    if "train" in splits and "validation" not in splits:
        yield "there is no validation split, which training needs; --split 0.9,0.1 takes it out of train"
    if prepared.left:
        yield f"{out}: {', '.join(prepared.left)} not from this run; delete what you no longer need"


def parse_fractions(text: str) -> list[float]:
    """`0.8,0.1,0.1`: shares of train, validation and test; fewer leave out the last."""
    try:
        fractions = [float(part) for part in text.split(",")]
    except ValueError:
        fractions = []
    if not 1 <= len(fractions) <= 3 or not all(0 <= fraction < 1e9 for fraction in fractions) or fractions[0] == 0:
        raise SourceError(f"--split {text}: must be shares of train, validation and test, such as 0.8,0.1,0.1")
    return fractions


def _levels(source: Path) -> Iterator[Path]:
    """`source`, and as long as a folder holds nothing but one folder, that one."""
    while True:
        yield source
        try:
            inside = [path for path in source.iterdir() if not path.name.startswith(".")] if source.is_dir() else []
        except OSError as error:
            raise SourceError(f"{source}: cannot be read: {error.strerror}") from None
        if len(inside) != 1 or not inside[0].is_dir() or inside[0].is_symlink():
            return
        source = inside[0]


def _inventory(source: Path) -> str:
    if source.is_file():
        return f"{source.suffix or 'a file without suffix'} is no format of a corpus"
    suffixes = Counter(Path(name).suffix or name for _, _, names in os.walk(source) for name in names)
    found = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5)) or "nothing"
    return f"no corpus is recognised here, and no recording (found: {found})"


def _require_sound(source: Path, splits: dict[str, list[Utterance]]) -> None:
    """Names of splits and files that can be written, and ids that stand once."""
    problems = []
    places: dict[str, str] = {}
    for name, utterances in splits.items():
        if name and (not re.fullmatch(r"\w[\w.-]*", name) or name in ASIDE):
            problems.append(f"{source}: a split cannot be called {name!r}; use letters, digits, - and _")
        for utterance in utterances:
            place = f"{utterance.audio} ({name or 'undivided'})"
            if not _can_be_written(str(utterance.audio)):
                problems.append(f"{place!r}: is not a name in UTF-8; rename the file, for example with convmv")
            if utterance.id in places:
                problems.append(
                    f"{place}: its id {utterance.id} is also that of {places[utterance.id]}; ids must differ"
                )
            places[utterance.id] = place
    raise_problems(problems, SourceError)


def _set_aside(source: Path, splits: dict[str, list[Utterance]]) -> dict[str, list[Utterance]]:
    """Splits of what can be trained on; recordings without text and texts without recording beside them."""
    there = {path: is_file(path) for path in {row.audio for rows in splits.values() for row in rows}}
    sound: dict[str, list[Utterance]] = {}
    aside: dict[str, list[Utterance]] = {name: [] for name in ASIDE}
    for name, utterances in splits.items():
        for utterance in utterances:
            if not there[utterance.audio]:
                aside[MISSING].append(utterance)
            elif not (utterance.text or "").strip():
                aside[UNTRANSCRIBED].append(utterance)
            else:
                sound.setdefault(name, []).append(utterance)
    if not sound:
        untranscribed, missing = (_names(aside[name]) for name in ASIDE)
        raise SourceError(
            f"{source}: nothing to train on: recordings without a text: {untranscribed}; texts whose recording is not "
            f"there: {missing}. A text must be called like its recording or stand in a table; if the names of the "
            r"recordings say it, --pattern '(?P<text>…)' takes it from there"
        )
    return sound | {name: utterances for name, utterances in aside.items() if utterances}


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
