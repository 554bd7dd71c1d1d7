"""Rank recordings by what to work on next: first those without a draft, then drafts by what a minute teaches a model.

Drafts are ranked as `asr next` ranks segments (`asr/learning/ranking.py`), from what they hold already: each letter is
as much in doubt as its word. What is checked counts as transcribed. Pauses between segments cost no time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from asr.learning.candidates import Candidate, voice_of
from asr.learning.ranking import Choice, Known, choose, reason
from asr.serving.workspace.document import Segment
from asr.serving.workspace.listing import Listed, Stamps, listed, stamps_of
from asr.serving.workspace.paths import Workspace
from asr.serving.workspace.saved import open_document
from asr.utterance import Utterance

_MINUTE = 60.0  # seconds of speech by which a recording is judged: nobody need work through all of it
_MOST = 100  # recordings that are compared with each other; the others follow by their doubt alone
_NEW, _DRAFT, _SILENT = range(3)  # the order of recordings: without a text, with a draft, with a draft without a word


@dataclass(frozen=True, slots=True)
class Next:
    """A recording to work on, and the reason in words."""

    id: str
    reason: str
    confidence: float | None
    duration: float | None


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a recording: its group, its number in the group, and what speaks for it."""

    group: int = _NEW
    number: int = 0
    reason: str = "not transcribed yet"


@dataclass(frozen=True, slots=True)
class _Speech:
    """The texts of a document that a person checked, as text, units and voice, and a minute that nobody checked."""

    checked: tuple[tuple[str, tuple[int, ...], str], ...]
    minute: Candidate | None
    is_drafted: bool  # by a model


def ranked(workspace: Workspace) -> list[Next]:
    """Rank the recordings that are not checked; those that cannot be read are left out.

    Of recordings without a text, shorter ones come first: they are done soonest. Then come drafts, and last drafts
    without a word. A text that a person wrote, but nobody checked, has no doubts, so it comes after those of models.
    """
    readable = [one for one in listed(workspace) if one.error is None]
    recordings = {one.id: workspace.recording(one.id) for one in readable}
    stamps = ((name, path, stamps_of(path)) for name, path in recordings.items())
    places = _places(workspace, tuple((name, path, found) for name, path, found in stamps if found is not None))
    waiting = [(places.get(one.id, _Place()), one) for one in readable if one.state != "checked"]
    waiting.sort(key=lambda pair: (pair[0].group, pair[0].number, pair[1].duration or 0.0, pair[1].id))
    return [Next(one.id, _reason(one, place), one.confidence, one.duration) for place, one in waiting]


def _reason(one: Listed, place: _Place) -> str:
    partly = f"{one.checked} of {one.segments} segments are checked; " if one.state == "partly" else ""
    return f"{partly}{place.reason}"


@lru_cache(maxsize=8)
def _places(workspace: Workspace, documents: tuple[tuple[str, Path, Stamps], ...]) -> dict[str, _Place]:
    """Return the places of documents by their ids; they are computed again only if a file has changed."""
    found = {name: _read(workspace, name, recording, stamps) for name, recording, stamps in documents}
    places = {name: _Place(_SILENT, 0, "the model found no speech") for name, one in found.items() if one.is_drafted}
    minutes = sorted((one.minute for one in found.values() if one.minute is not None), key=_sureness)
    known = Known.of(text for one in found.values() for text in one.checked)
    first = list(choose(minutes[:_MOST], known, sum(one.seconds for one in minutes) + 1.0))
    rest = [Choice(one, gain=0.0, new_words=0, new_voice=False) for one in minutes[_MOST:]]
    for number, choice in enumerate([*first, *rest]):
        places[choice.candidate.utterance.id] = _Place(_DRAFT, number, reason(choice, alone=True))
    return places


def _sureness(one: Candidate) -> float:
    """Return a number that is lowest for the segment with most doubt for each second of listening."""
    return -sum(one.doubts) / one.seconds


@lru_cache(maxsize=10_000)
def _read(workspace: Workspace, name: str, recording: Path, stamps: Stamps) -> _Speech:
    document = open_document(workspace, name).document
    checked, candidates = [], []
    for segment in document.segments:
        utterance = Utterance(name, recording, speaker=segment.speaker)
        if segment.checked:
            checked.append((segment.text, tuple(map(ord, segment.text)), voice_of(utterance)))
        elif units := _units(segment):
            letters, doubts = zip(*units, strict=True)
            candidates.append(Candidate(utterance, segment.start, segment.end, letters, doubts, segment.words))
    return _Speech(tuple(checked), _joined(candidates), document.model is not None)


def _units(segment: Segment) -> list[tuple[int, float]]:
    """Return the letters of the words with their doubts; the space before a word is in doubt as the word."""
    units: list[tuple[int, float]] = []
    for word in segment.words:
        text = f" {word.text}" if units else word.text
        units += [(ord(letter), 1.0 - word.confidence) for letter in text]
    return units


def _joined(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the segments with most doubt for each second, a minute of them, as one candidate without pauses."""
    chosen: list[Candidate] = []
    for one in sorted(candidates, key=_sureness):
        if sum(other.seconds for other in chosen) < _MINUTE:
            chosen.append(one)
    if not chosen:
        return None
    chosen.sort(key=lambda one: one.start)
    return Candidate(
        chosen[0].utterance,
        start=chosen[0].start,
        end=chosen[0].start + sum(one.seconds for one in chosen),
        units=tuple(unit for one in chosen for unit in (ord(" "), *one.units))[1:],
        doubts=tuple(doubt for one in chosen for doubt in (one.doubts[0], *one.doubts))[1:],
        words=tuple(word for one in chosen for word in one.words),
    )
