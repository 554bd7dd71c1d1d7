"""Annotations that lie beside a recording already, in ELAN's or Praat's format -> segments."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.corpus.readers import eaf, textgrid
from asr.corpus.readers.reading import reading
from asr.corpus.readers.tiers import Annotation
from asr.serving.workspace.document import Segment, in_order
from asr.transcript import UNSURE_MARK, Word

_DRAFTS = {".eaf": "asr", ".textgrid": "segments"}  # the tier that `asr transcribe` writes
_OWN_TIERS = ("segments", "words")  # of the TextGrids that `asr transcribe` writes
_MARKED, _UNMARKED = 0.25, 0.75  # confidence of words of a draft: the middle below the mark's limit, and above it


@dataclass(frozen=True, slots=True)
class Annotated:
    """The segments of one tier, its file, the names of all tiers with text, and what a person must know."""

    file: Path
    segments: tuple[Segment, ...]
    tier: str
    tiers: tuple[str, ...]
    notes: tuple[str, ...]


def annotation_files(stem: Path) -> list[Path]:
    """Return the ELAN and Praat files with the name `stem`, the file that is read first."""
    names = (f"{stem.name}{suffix}" for suffix in (".eaf", ".TextGrid", ".textgrid"))
    return [path for name in names if (path := stem.with_name(name)).is_file()]


def read_annotated(path: Path, recording: Path, duration: float | None, tier: str | None = None) -> Annotated:
    """Read one tier of the annotations of a recording: `tier`, or else the first one with text.

    Annotations that a person made are checked. The tier that `asr transcribe` writes is a draft. An annotation that
    overlaps the one before it begins after it. Raises SourceError if the file cannot be read.
    """
    with reading() as found:
        if path.suffix == ".eaf":
            annotations = eaf.read_for(path, recording)
        else:
            annotations = textgrid.read_file(path, recording, Counter())
    written = [one for one in annotations if one.text.strip()]
    tiers = tuple(dict.fromkeys(one.tier for one in written))
    chosen = tier if tier in tiers else next(iter(tiers), "")
    notes = [*found.notes]
    if len(tiers) > 1 and tiers != _OWN_TIERS:
        others = ", ".join(repr(name) for name in tiers if name != chosen)
        notes.append(f"{path.name}: the tier {chosen!r} is shown; there are also {others}")
    segments, left_out = _segments([one for one in written if one.tier == chosen], duration, path)
    if left_out:
        notes.append(
            f"{path.name}: {len(left_out)} annotations have no time of their own, such as {left_out[0][:60]!r}"
        )
    return Annotated(path, in_order(segments, duration), chosen, tiers, tuple(notes))


def _segments(annotations: Sequence[Annotation], duration: float | None, path: Path) -> tuple[list[Segment], list[str]]:
    """Return the segments of annotations, and the texts that have no time in the recording."""
    segments: list[Segment] = []
    left_out = []
    position = 0.0
    for one in sorted(annotations, key=lambda one: one.start or 0.0):
        if one.start is None or one.end is None:
            left_out.append(one.text)
            continue
        start, end = max(one.start, position), one.end if duration is None else min(one.end, duration)
        if end - start < 0.001:
            left_out.append(one.text)
            continue
        is_draft = one.tier == _DRAFTS[path.suffix.lower()]
        words = _draft_words(one.text, start, end) if is_draft else ()
        segments.append(
            Segment(
                id=f"s{len(segments) + 1}",
                start=start,
                end=end,
                text=one.text.replace(UNSURE_MARK, " ") if is_draft else one.text,
                checked=not is_draft,
                speaker=one.speaker,
                words=words,
            )
        )
        position = end
    return segments, left_out


def _draft_words(text: str, start: float, end: float) -> tuple[Word, ...]:
    """Return the words of a draft, without times of their own, less sure where they have the mark of unsure words."""
    tokens = text.split()
    step = (end - start) / max(len(tokens), 1)
    return tuple(
        Word(
            token.replace(UNSURE_MARK, ""),
            start + index * step,
            start + (index + 1) * step,
            _MARKED if UNSURE_MARK in token else _UNMARKED,
        )
        for index, token in enumerate(tokens)
    )
