"""ELAN: a tier added to the user's own file, of which all else stays as it is, or a new file.

pympi makes a new file. It does not rewrite a user's file, since it drops the parts that it does not know (references to
controlled vocabularies, external references): the tier is put into the XML itself.
"""

import re
import xml.etree.ElementTree as etree
from collections.abc import Iterator
from pathlib import Path

import pympi
from pympi.Elan import to_string

from asr.corpus.manifest import relative_path
from asr.errors import AsrError
from asr.transcript import UNSURE_MARK, Transcript, Word
from asr.writers.clean import writable

TIER, LINGUISTIC_TYPE = "asr", "asr"
UNSURE = 0.5  # words of less confidence are marked
_BEFORE_TYPES = ("LICENSE", "HEADER", "TIME_ORDER", "TIER")  # before the linguistic types, in the order of the schema
_NUMBER = re.compile(r"(?<![0-9])([0-9]{1,15})$")
_XSI = "http://www.w3.org/2001/XMLSchema-instance"


def render(transcript: Transcript, recording: Path, target: Path, eaf: Path | None = None) -> str:
    """Add a tier of segments to the XML of `eaf`, of the ELAN file beside the recording, or of a new ELAN file.

    Links to the recording are relative to `target`. Raises AsrError that names a file which is no ELAN file.
    """
    return _compose(transcript, recording, target, _theirs(recording, eaf), renew=False)


def renewed(transcript: Transcript, recording: Path, target: Path, theirs: Path | None) -> str:
    """Return the XML of `theirs`, or of a new ELAN file, with a tier of segments in place of the one written before.

    A tier that other tiers refer to stays, and the segments get a tier with another name. Links to the recording are
    relative to `target`. Raises AsrError that names a file which is no ELAN file.
    """
    return _compose(transcript, recording, target, theirs, renew=True)


def tiers_of(path: Path) -> list[str]:
    """Return the names of the tiers of an ELAN file. Raises AsrError that names a file which is no ELAN file."""
    return [tier.get("TIER_ID", "") for tier in _read(path).iter("TIER")]


def _compose(transcript: Transcript, recording: Path, target: Path, theirs: Path | None, *, renew: bool) -> str:
    root = _new(recording, target) if theirs is None else _read(theirs)
    if renew:
        _drop_tier(root)
    _add_tier(root, transcript)
    etree.register_namespace("xsi", _XSI)
    return etree.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def extends(target: Path, recording: Path, eaf: Path | None = None) -> bool:
    """Return True if the file `target`, once written, is the user's own ELAN file with one more tier."""
    theirs = _theirs(recording, eaf)
    return theirs is not None and target.exists() and target.samefile(theirs)


def _theirs(recording: Path, eaf: Path | None) -> Path | None:
    """Return the user's ELAN file: `eaf`, or the one beside the recording if there is one."""
    beside = recording.with_suffix(".eaf")
    return eaf or (beside if beside.is_file() else None)


def _new(recording: Path, target: Path) -> etree.Element:
    document = pympi.Eaf(author="asr")
    document.remove_tier("default")
    media = recording.resolve()
    relative = writable(relative_path(media, target.parent))
    document.add_linked_file(media.as_uri(), relpath=f"./{relative}", mimetype=_mime(media))
    return etree.fromstring(to_string(document))


def _mime(media: Path) -> str:
    return {".wav": "audio/x-wav", ".mp4": "video/mp4"}.get(media.suffix.lower(), "unknown")


def _read(path: Path) -> etree.Element:
    try:
        parser = etree.XMLParser(target=etree.TreeBuilder(insert_comments=True))
        root = etree.parse(path, parser).getroot()
    except (OSError, ValueError, LookupError, etree.ParseError) as error:  # LookupError: an unknown encoding
        raise AsrError(f"{path}: cannot be read as an ELAN file: {error}") from None
    if root.tag != "ANNOTATION_DOCUMENT" or root.find("TIME_ORDER") is None:
        raise AsrError(f"{path}: is XML but no ELAN file; its root is {root.tag}")
    return root


def _add_tier(root: etree.Element, transcript: Transcript) -> None:
    slots = root.find("TIME_ORDER")
    assert slots is not None  # _read checks it, and pympi writes it
    slot = _following(slot.get("TIME_SLOT_ID", "") for slot in slots)
    note = _following(element.get("ANNOTATION_ID", "") for element in root.iter() if element.get("ANNOTATION_ID"))
    tier = etree.Element("TIER", {"LINGUISTIC_TYPE_REF": _alignable_type(root), "TIER_ID": _free_name(root)})
    for segment in transcript.segments:
        ids = []
        for seconds in (segment.start, segment.end):
            ids.append(f"ts{slot}")
            etree.SubElement(slots, "TIME_SLOT", TIME_SLOT_ID=ids[-1], TIME_VALUE=str(round(seconds * 1000)))
            slot += 1
        annotation = etree.SubElement(
            etree.SubElement(tier, "ANNOTATION"),
            "ALIGNABLE_ANNOTATION",
            ANNOTATION_ID=f"a{note}",
            TIME_SLOT_REF1=ids[0],
            TIME_SLOT_REF2=ids[1],
        )
        etree.SubElement(annotation, "ANNOTATION_VALUE").text = " ".join(map(_marked, segment.words))
        note += 1
    root.insert(_position(root, "TIER"), tier)
    last = root.find(".//PROPERTY[@NAME='lastUsedAnnotationId']")
    if last is not None:
        last.text = str(note - 1)


def _drop_tier(root: etree.Element) -> None:
    """Remove the tier that `_add_tier` wrote, with its time slots, unless another tier refers to it."""
    tiers = list(root.iter("TIER"))
    ours = next((tier for tier in tiers if tier.get("TIER_ID") == TIER), None)
    if ours is None or any(tier.get("PARENT_REF") == TIER for tier in tiers):
        return
    root.remove(ours)
    used = {value for element in root.iter("ALIGNABLE_ANNOTATION") for value in element.attrib.values()}
    own = {value for element in ours.iter("ALIGNABLE_ANNOTATION") for value in element.attrib.values()} - used
    slots = root.find("TIME_ORDER")
    assert slots is not None  # _read checks it
    for slot in [slot for slot in slots if slot.get("TIME_SLOT_ID") in own]:
        slots.remove(slot)


def _marked(word: Word) -> str:
    return word.text + UNSURE_MARK * (word.confidence < UNSURE)


def _following(ids: Iterator[str]) -> int:
    """Return a number above the numbers that end ids: 13 for `a12`. A longer number than ours can be is left out."""
    return 1 + max((int(match[1]) for name in ids if (match := _NUMBER.search(name))), default=0)


def _free_name(root: etree.Element) -> str:
    used = {tier.get("TIER_ID") for tier in root.iter("TIER")}
    return next(name for n in range(1, len(used) + 2) if (name := TIER if n == 1 else f"{TIER} {n}") not in used)


def _alignable_type(root: etree.Element) -> str:
    """Return the id of a linguistic type without constraints, which is added to the file if it has none."""
    if root.find(f"LINGUISTIC_TYPE[@LINGUISTIC_TYPE_ID='{LINGUISTIC_TYPE}']") is None:
        kind = etree.Element(
            "LINGUISTIC_TYPE",
            LINGUISTIC_TYPE_ID=LINGUISTIC_TYPE,
            TIME_ALIGNABLE="true",
            GRAPHIC_REFERENCES="false",
        )
        root.insert(_position(root, "LINGUISTIC_TYPE"), kind)
    return LINGUISTIC_TYPE


def _position(root: etree.Element, tag: str) -> int:
    """Return the index for one more element of a tag that the schema allows: after the last one, or after its place."""
    before = (tag, *_BEFORE_TYPES)
    return 1 + max(index for index, element in enumerate(root) if element.tag in before)
