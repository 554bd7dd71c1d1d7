"""Reader of ELAN annotation files, with Python's own XML parser.

The library `pympi` is not used: it rejects identifiers without digits and files without a schema, it expands entities,
and it never ends if annotations refer to each other in a circle. Format: ELAN Annotation Format 3.0, the schema
EAFv3.0.xsd.
"""

from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from asr.corpus.readers.files import SourceError, is_audio, is_file, walk
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.recordings import Recordings
from asr.corpus.readers.tiers import Annotation, utterances_of_tier


class _Builder(ElementTree.TreeBuilder):
    """An XML tree builder that refuses document types, because a few entities in them can expand to gigabytes."""

    def doctype(self, *_: str | None) -> None:
        raise ValueError("it declares a document type, which ELAN never writes")


def recognises(source: Path) -> bool:
    """Return True for an `.eaf` file, or a folder with `.eaf` files at any depth."""
    return bool(_find(source))


def read(source: Path, *, tier: str | None = None) -> Splits:
    """Read the annotations of one tier of every file, with the recording that the file names.

    If a file names no recording that exists, the recording with the name of the file is taken. `tier` is a name or a
    pattern such as `tx@*` (default: the only tier with text). The participant of a tier is the speaker. Raises
    SourceError that lists the tiers with their counts if the choice is not clear.
    """
    recordings = Recordings(source if source.is_dir() else source.parent)
    annotations = [annotation for path in _find(source) for annotation in _read_file(path, recordings)]
    return utterances_of_tier(source, annotations, tier, recordings)


READER = Reader("ELAN annotations (.eaf)", recognises, read)


def _find(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() == ".eaf" else []
    return walk(source, ".eaf")


def _read_file(path: Path, recordings: Recordings) -> list[Annotation]:
    try:
        root = ElementTree.parse(path, ElementTree.XMLParser(target=_Builder())).getroot()
        slots = {slot.attrib["TIME_SLOT_ID"]: slot.get("TIME_VALUE") for slot in root.iterfind("TIME_ORDER/TIME_SLOT")}
        times = {name: int(value) / 1000 for name, value in slots.items() if value is not None}
        audio, origin = _media(root, path, recordings)
        elements = {
            element.attrib["ANNOTATION_ID"]: (element, tier)
            for tier in root.iterfind("TIER")
            for element in tier.iterfind("ANNOTATION/*")
        }
        annotations = []
        for element, tier in elements.values():
            start, end = (times.get(slot, -1.0) for slot in _aligned(element, elements))
            annotations.append(
                Annotation(
                    file=path,
                    audio=audio,
                    tier=tier.attrib["TIER_ID"],
                    start=start + origin if start >= 0.0 else None,
                    end=end + origin if end >= 0.0 else None,
                    text=element.findtext("ANNOTATION_VALUE") or "",
                    speaker=tier.get("PARTICIPANT") or None,
                )
            )
    except KeyError as error:
        raise SourceError(f"{path}: lacks {error}; open it in ELAN and save it again") from None
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        raise SourceError(f"{path}: cannot be read ({error}); open it in ELAN and save it again") from None
    return annotations


def _aligned(element: Element, elements: dict[str, tuple[Element, Element]]) -> tuple[str, str]:
    """Return the time slots of an annotation, or of the annotation that it refers to."""
    seen = set()
    while (parent := element.get("ANNOTATION_REF")) is not None:
        if parent in seen:
            raise ValueError(f"annotation {parent} refers to itself in a circle")
        seen.add(parent)
        element = elements[parent][0]
    return element.attrib["TIME_SLOT_REF1"], element.attrib["TIME_SLOT_REF2"]


def _media(root: Element, path: Path, recordings: Recordings) -> tuple[Path, float]:
    """Return the recording and the offset (s) of the times of the file in it; sound is preferred to video."""
    media = sorted(
        root.iterfind("HEADER/MEDIA_DESCRIPTOR"), key=lambda element: "audio" not in element.get("MIME_TYPE", "")
    )
    for element in media:
        for attribute in ("RELATIVE_MEDIA_URL", "MEDIA_URL"):
            name = unquote(element.get(attribute, "")).removeprefix("file://")
            if name:
                found = recordings.find(name, path.parent)
                if is_file(found):
                    return found, int(element.get("TIME_ORIGIN", "0")) / 1000
    beside = [other for other in path.parent.glob("*") if other.stem == path.stem and is_audio(other)]
    named = media[0].get("MEDIA_URL", "") if media else ""
    return (beside or [path.parent / (Path(unquote(named)).name or f"{path.stem}.wav")])[0], 0.0
