"""Reader of ELAN annotation files, with Python's own XML parser.

The library `pympi` is not used: it rejects identifiers without digits and files without a schema, it expands entities,
and it never ends if annotations refer to each other in a circle. Format: ELAN Annotation Format 3.0, the schema
EAFv3.0.xsd.
"""

import fnmatch
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from html import unescape
from itertools import combinations
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from asr.audio import VIDEO_SUFFIXES
from asr.corpus.readers.files import SourceError, is_file, walk
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import first_text, note, read_each
from asr.corpus.readers.recordings import Recordings
from asr.corpus.readers.tiers import Annotation, note_repeated, utterances_of_tier
from asr.errors import raise_problems
from asr.transcript import UNSURE_MARK
from asr.utterance import Utterance
from asr.wording import counted


class _Builder(ElementTree.TreeBuilder):
    """An XML tree builder that refuses document types, because a few entities in them can expand to gigabytes."""

    def doctype(self, *_: str | None) -> None:
        raise ValueError("it declares a document type, which ELAN never writes")


def recognises(source: Path) -> bool:
    """Return True for an `.eaf` file, or a folder with `.eaf` files at any depth."""
    return bool(_find(source))


def read(source: Path, *, tier: str | None = None, media: str | None = None) -> Splits:
    """Read the annotations of one tier of every file, with the recording that the file names.

    If a file names no recording that exists, the recording with the name of the file is taken. `media` is the name of a
    recording, or a pattern such as `*_A.wav`, for files that name several. `tier` is a name or a pattern such as `tx@*`
    (default: the only tier with text). The participant of a tier is the speaker. Annotations that divide an annotation
    with times are joined. UNSURE_MARK is left out. A file that cannot be read is named, and does not stop the others.
    Raises SourceError that lists the tiers with their counts if the choice is not clear, and for two files that
    annotate the same speech, such as a corrected copy beside the old file.
    """
    recordings = Recordings(source if source.is_dir() else source.parent)
    paths = _find(source)
    recordings.settle((name, path.parent) for path in paths for name in _media_names(path))
    beside = recordings.pair(paths)
    files = read_each(paths, lambda path: _read_file(path, recordings, beside[path][0], media))
    annotations = [annotation for file in files for annotation in file if annotation.text.strip()]
    splits = utterances_of_tier(source, annotations, tier, recordings)
    chosen = [one for one in annotations if tier is None or one.tier == tier or fnmatch.fnmatch(one.tier, tier)]
    _refuse_copies(chosen)
    note_repeated(chosen)
    return {split: list(map(_without_marks, utterances)) for split, utterances in splits.items()}


READER = Reader("ELAN annotations (.eaf)", recognises, read, tracks_files=True)


def _refuse_copies(annotations: Iterable[Annotation]) -> None:
    """Raise SourceError if half of the annotations of a file begin where those of another file of the tier begin.

    Two texts of one piece of speech cannot both be learned, and the program cannot know which one is right.
    """
    files: dict[tuple[Path, str], dict[Path, set[float]]] = defaultdict(lambda: defaultdict(set))
    for one in annotations:
        if one.start is not None:
            files[one.audio, one.tier][one.file].add(one.start)
    problems = []
    for (audio, tier), starts in files.items():
        for old, new in combinations(sorted(starts, key=lambda path: path.stat().st_mtime), 2):
            shared = len(starts[old] & starts[new])
            if 2 * shared >= min(len(starts[old]), len(starts[new])):
                problems.append(
                    f"{audio.name}: is annotated twice in the tier {tier}: "
                    f"{counted('{} annotation<s> begin<s|>', shared)} at equal times in {old} and in {new}, which was "
                    "saved later; keep the right one, and move the other file out of the folder"
                )
    raise_problems(problems, SourceError)


def _without_marks(utterance: Utterance) -> Utterance:
    """Return an utterance without UNSURE_MARK, which a person has not deleted after `asr transcribe` wrote it."""
    text = utterance.text or ""
    if UNSURE_MARK not in text:
        return utterance
    note(
        f"{{}} annotation<s> keep<s|> {UNSURE_MARK}, our mark of unsure words; it is left out, the words stay",
        utterance.id,
    )
    return replace(utterance, text=" ".join(text.replace(UNSURE_MARK, " ").split()))


def _find(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() == ".eaf" else []
    return walk(source, ".eaf")


def _media_names(path: Path) -> list[str]:
    """Return the recordings that a file names in its head, without parsing the file."""
    descriptors = re.findall(r"<MEDIA_DESCRIPTOR\b([^>]*)>", first_text(path))
    attributes = [dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', descriptor)) for descriptor in descriptors]
    names = [_media_name({key: unescape(value) for key, value in found.items()}, path) for found in attributes]
    return [name for name in names if name]


def _media_name(attributes: Mapping[str, str], path: Path) -> str:
    """Return the relative path of a recording if a file is there, else its full path, perhaps of another machine."""
    relative, full = (
        unquote(attributes.get(name, "")).removeprefix("file://") for name in ("RELATIVE_MEDIA_URL", "MEDIA_URL")
    )
    return relative if relative and is_file(path.parent / relative) else full or relative


def _read_file(
    path: Path, recordings: Recordings, beside: Path | ValueError | None, media: str | None
) -> list[Annotation]:
    return read_tiers(path, lambda root: _media(root, path, recordings, beside, media))


def read_for(path: Path, recording: Path) -> list[Annotation]:
    """Read all tiers of a file as annotations of `recording`, which the file may name in another place.

    Raises SourceError that names the file.
    """

    def choose(root: Element) -> tuple[Path, float]:
        named = [
            int(element.get("TIME_ORIGIN", "0")) / 1000
            for element in root.iterfind("HEADER/MEDIA_DESCRIPTOR")
            if re.split(r"[/\\]", unquote(element.get("MEDIA_URL", "")))[-1] == recording.name
        ]
        return recording, named[0] if named else 0.0

    return read_tiers(path, choose)


def read_tiers(path: Path, choose: Callable[[Element], tuple[Path, float]]) -> list[Annotation]:
    """Read all tiers of a file; `choose` returns the recording and the offset of the times of the file in it (s)."""
    try:
        root = ElementTree.parse(path, ElementTree.XMLParser(target=_Builder())).getroot()
        slots = {slot.attrib["TIME_SLOT_ID"]: slot.get("TIME_VALUE") for slot in root.iterfind("TIME_ORDER/TIME_SLOT")}
        times = {name: int(value) / 1000 for name, value in slots.items() if value is not None}
        audio, origin = choose(root)
        elements = {
            element.attrib["ANNOTATION_ID"]: element
            for tier in root.iterfind("TIER")
            for element in tier.iterfind("ANNOTATION/*")
        }
        order = _order(root)
        annotations = []
        for tier in root.iterfind("TIER"):
            for begin, end, texts in _spans(tier, elements, times, order):
                start, stop = (times.get(slot) for slot in (begin, end))
                annotations.append(
                    Annotation(
                        file=path,
                        audio=audio,
                        tier=tier.attrib["TIER_ID"],
                        start=None if start is None or start < 0.0 else start + origin,
                        end=None if stop is None or stop < 0.0 else stop + origin,
                        text=" ".join(texts) if len(texts) > 1 else texts[0],
                        speaker=tier.get("PARTICIPANT") or None,
                        parts=len(texts),
                    )
                )
    except KeyError as error:
        raise SourceError(f"{path}: lacks {error}; open it in ELAN and save it again") from None
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        raise SourceError(f"{path}: cannot be read ({error}); open it in ELAN and save it again") from None
    return annotations


def _order(root: Element) -> dict[str, int]:
    """Return the place of each annotation among those of its tier: each states the one before it, or stands later."""
    order: dict[str, int] = {}
    for tier in root.iterfind("TIER"):
        elements = list(tier.iterfind("ANNOTATION/*"))
        following = {element.get("PREVIOUS_ANNOTATION"): element for element in elements}
        for element in elements:
            current: Element | None = element if element.get("PREVIOUS_ANNOTATION") is None else None
            while current is not None and (name := current.attrib["ANNOTATION_ID"]) not in order:
                order[name] = len(order)
                current = following.get(name)
        for element in elements:
            order.setdefault(element.attrib["ANNOTATION_ID"], len(order))
    return order


def _spans(
    tier: Element, elements: dict[str, Element], times: dict[str, float], order: dict[str, int]
) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the slots of the start and the end, and the texts, of each annotation of a tier that has its own times.

    Annotations that divide one annotation are one, and so are neighbours if the slot between them has no time.
    """
    divided: dict[int, list[tuple[tuple[int, ...], str]]] = {}
    spans: dict[int, tuple[str, str]] = {}
    for element in tier.iterfind("ANNOTATION/*"):
        ancestor, place = _aligned(element, elements, order)
        spans[id(ancestor)] = ancestor.attrib["TIME_SLOT_REF1"], ancestor.attrib["TIME_SLOT_REF2"]
        divided.setdefault(id(ancestor), []).append((place, element.findtext("ANNOTATION_VALUE") or ""))
    joined: list[tuple[str, str, list[str]]] = []
    for name, (begin, end) in spans.items():
        texts = [text for _, text in sorted(divided[name])]
        if joined and joined[-1][1] == begin and begin not in times:
            joined[-1] = joined[-1][0], end, joined[-1][2] + texts
        else:
            joined.append((begin, end, texts))
    for begin, end, texts in joined:
        yield begin, end, [text.strip() for text in texts if text.strip()] or [""] if len(texts) > 1 else texts


def _aligned(element: Element, elements: dict[str, Element], order: dict[str, int]) -> tuple[Element, tuple[int, ...]]:
    """Return the annotation with times that an annotation is or refers to, and the place of the annotation under it."""
    seen = set()
    place = [order[element.attrib["ANNOTATION_ID"]]]
    while (parent := element.get("ANNOTATION_REF")) is not None:
        if parent in seen:
            raise ValueError(f"annotation {parent} refers to itself in a circle")
        seen.add(parent)
        element = elements[parent]
        place.append(order[parent])
    return element, tuple(reversed(place))


def _media(
    root: Element, path: Path, recordings: Recordings, beside: Path | ValueError | None, wanted: str | None
) -> tuple[Path, float]:
    """Return the recording and the offset (s) of the times of the file in it; sound is preferred to video.

    `beside` is the recording with the name of the file, for a file that names no recording that exists. Raises
    SourceError that lists the recordings if the file names several, and `wanted` is none of them.
    """
    media = list(root.iterfind("HEADER/MEDIA_DESCRIPTOR"))
    origins: dict[Path, float] = {}
    for element in media:
        name = _media_name(element.attrib, path)
        if name and is_file(found := recordings.find(name, path.parent)):
            origins.setdefault(recordings.best_format(found), int(element.get("TIME_ORIGIN", "0")) / 1000)
    if not origins:
        if isinstance(beside, ValueError):
            raise SourceError(f"{path}: {beside}")
        named = media[0].get("MEDIA_URL", "") if media else ""
        absent = re.split(r"[/\\]", unquote(named))[-1] or f"{path.stem}.wav"
        if beside is not None and named:
            note(
                "{} file<s> name<s|> a recording that is not there; the one with the name of the file is taken",
                f"{path.name}: {beside.name}, not {absent}",
            )
        return beside or path.parent / absent, 0.0
    choice = [audio for audio in origins if wanted and fnmatch.fnmatch(audio.name.lower(), wanted.lower())]
    sound = [audio for audio in origins if audio.suffix.lower() not in VIDEO_SUFFIXES]
    choice = choice or (list(origins) if len(origins) == 1 else sound if wanted is None else [])
    if len(choice) != 1:
        tiers = ", ".join(tier.get("TIER_ID", "") for tier in root.iterfind("TIER"))
        listed = ", ".join(audio.name for audio in origins)
        raise SourceError(
            f"{path}: names several recordings: {listed}; choose one with --media, such as --media "
            f"{next(iter(origins)).name}, and the tiers that belong to it with --tier: {tiers}"
        )
    if len(media) > 1 and wanted is None:
        names = [re.split(r"[/\\]", unquote(element.get("MEDIA_URL", "")))[-1] for element in media]
        if len({Path(name).stem for name in names}) > 1:
            note(
                "{} file<s> name<s|> several recordings",
                f"{path.name}: {choice[0].name} is taken, of {', '.join(names)}",
            )
    return choice[0], origins[choice[0]]
