"""A recording and its text -> the times of words, although words are missing and speech is not in the text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from asr.decoding.forced import ANY_SOUND, best_states, words_target
from asr.decoding.times import Run, lingering, word
from asr.errors import AsrError, AudioError
from asr.recognition.interface import FrameModel
from asr.recognition.longform import RecordingEnd, SegmentFrames, compute
from asr.recognition.sources import read_recording
from asr.recognition.steady import blank
from asr.text import BLANK, Normalizer, Units
from asr.transcript import Transcript, Word, split_at_pauses, text_of, widest_gap
from asr.utterance import Utterance

SURE = 0.6  # mean confidence of the words of a segment that is good enough to train on
LONGEST = 20.0  # seconds of a segment to train on
_PAUSE = 0.3  # seconds between words at which a segment to train on may end
_SHORTEST = 0.1  # seconds of speech that is worth reporting
_NAMED = 20  # words or places that are reported in full
_MARGIN = 0.1  # seconds before and after the words of a segment, or half the gap to the next word if that is less


class AlignmentModel(FrameModel, Protocol):
    """The parts of a recogniser that alignment needs."""

    units: Units
    normalizer: Normalizer

    def unit_rows(self, frames: np.ndarray) -> np.ndarray:
        """Return CTC's log-probabilities `(S, V)` of frames; raise ConfigError for attention without CTC."""

    def num_output_frames(self, num_samples: int) -> int:
        """Return the encoder frames of `num_samples` samples."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """The words that were found in a recording, and the mismatches of text and recording.

    `unspoken` are words of the text that were not found. `unwritten` are starts and ends, in seconds, of speech that
    is not in the text. `groups` are the found words, divided where an unspoken word or unwritten speech lies between.
    """

    transcript: Transcript
    unspoken: tuple[str, ...]
    unwritten: tuple[tuple[float, float], ...]
    groups: tuple[tuple[Word, ...], ...]

    def report(self) -> list[str]:
        """Report in lines how many words were found, and all mismatches."""
        found = len(self.transcript.words)
        lines = [f"{found} of {found + len(self.unspoken)} words found"]
        if self.unspoken:
            more = " …" if len(self.unspoken) > _NAMED else ""
            lines.append(f"not spoken: {' '.join(self.unspoken[:_NAMED])}{more}")
        if self.unwritten:
            places = ", ".join(f"{start:.1f}-{end:.1f}" for start, end in self.unwritten[:_NAMED])
            seconds = sum(end - start for start, end in self.unwritten)
            more = " …" if len(self.unwritten) > _NAMED else ""
            lines.append(f"not in the text: {seconds:.1f} s of speech, at {places}{more}")
        return lines


def align(model: AlignmentModel, recording: Any, text: str, sample_rate: int | None = None) -> Alignment:
    """Find the words of `text` in a recording of any length and kind, as `Recognizer.transcribe` takes it.

    The confidence of a word is the one of transcription. Characters without a unit in the model are skipped; a word of
    only such characters is joined to the word before it. Raises AudioError, AsrError for a text without words, or
    ConfigError for a model without CTC.
    """
    texts, spelled = spell(model, text)
    log_probs, end, audio = _log_probs(model, recording, sample_rate)
    words, unwritten = find_words(model, log_probs, texts, spelled)
    words = [
        one and replace(one, end=min(one.end, end.seconds)) for one in words
    ]  # the last frame reaches beyond the end
    found = [one for one in words if one is not None]
    return Alignment(
        Transcript(text_of(found), end.seconds, tuple(found), audio=audio, speech=end.speech),
        tuple(text for text, one in zip(texts, words, strict=True) if one is None),
        unwritten,
        _groups(words, unwritten),
    )


def find_words(
    model: AlignmentModel, log_probs: np.ndarray, texts: Sequence[str], spelled: Sequence[list[int]]
) -> tuple[list[Word | None], tuple[tuple[float, float], ...]]:
    """Find in `log_probs (S, V)` the words that `spell` returned, and speech that is not in the text.

    Returns each word with its times, or None if it was not found; then starts and ends, in seconds, of other speech.
    """
    space = [] if model.units.unknown(" ") else model.units.encode(" ")
    target = words_target([spelled[0], *(space + units for units in spelled[1:])])
    states = best_states(log_probs, target)
    path = target.units[states]
    posteriors = log_probs[np.arange(len(path)), path]
    seconds = model.stride / model.sample_rate

    words: list[Word | None] = []
    for index, (end, units) in enumerate(zip(target.boundaries[1:].tolist(), spelled, strict=True)):
        labels = np.arange(end + 1 - 2 * len(units), end, 2)  # states are sorted: a label is one run of frames
        bounds = zip(np.searchsorted(states, labels).tolist(), np.searchsorted(states, labels, "right").tolist())  # noqa: B905
        runs = [
            Run(unit, first, beyond, float(posteriors[first:beyond].max()))
            for unit, (first, beyond) in zip(units, bounds, strict=True)
            if first < beyond
        ]
        words.append(word(texts[index], runs, seconds_per_frame=seconds) if runs else None)
    found = iter(lingering([one for one in words if one], until=(len(path) - 0.5) * seconds))
    words = [one and next(found) for one in words]
    any_sound = log_probs[:, BLANK + 1 :].max(axis=1) - ANY_SOUND
    frames = np.flatnonzero(np.isin(states, target.boundaries) & (any_sound > log_probs[:, BLANK]))
    return words, _spans(frames, seconds)


def spell(model: AlignmentModel, text: str) -> tuple[list[str], list[list[int]]]:
    """Divide a text into words, and spell each in units, in lower case where the model has no capitals.

    Raises AsrError for a text without a word that the model can spell.
    """
    units = model.units
    texts: list[str] = []
    spelled: list[list[int]] = []
    waiting = ""  # words before the first word that can be spelled
    for written in text.split():
        folded = (c.lower() if units.unknown(c) else c for c in model.normalizer(written))
        known = units.encode("".join(c for c in folded if not units.unknown(c)))
        if known:
            texts.append(waiting + written)
            spelled.append(known)
            waiting = ""
        elif texts:
            texts[-1] += " " + written
        else:
            waiting += written + " "
    if not texts:
        raise AsrError("the text holds no word that the model has units for; is it the text of this recording?")
    return texts, spelled


def well_aligned(alignment: Alignment, recording: Path, name: str) -> list[Utterance]:
    """Choose segments to train on: between pauses, of high confidence, without unspoken words or unwritten speech."""
    parts = divided(part.words for group in alignment.groups for part in split_at_pauses(group, _PAUSE))
    chosen = [part for part in parts if np.mean([word.confidence for word in part]) >= SURE]
    transcript = alignment.transcript
    return segment_lines(chosen, transcript.words, transcript.duration, recording, name)


def divided(parts: Iterable[tuple[Word, ...]]) -> Iterator[tuple[Word, ...]]:
    """Divide the words of parts of more than LONGEST seconds at their widest gaps."""
    for whole in parts:
        waiting = [whole]
        while waiting:
            part = waiting.pop()
            if len(part) > 1 and part[-1].end - part[0].start > LONGEST:
                middle = widest_gap(part)
                waiting += [part[middle:], part[:middle]]
            else:
                yield part


def segment_lines(
    parts: Sequence[tuple[Word, ...]], words: Sequence[Word], end: float, recording: Path, name: str
) -> list[Utterance]:
    """Return a line of a manifest for each of some parts of the `words` of a recording, which ends at `end` seconds.

    A line begins and ends a little beyond its words, and at most midway to the words beside it.
    """
    ends = dict(zip(words, [0.0, *(word.end for word in words[:-1])], strict=True))  # end of the word before
    starts = dict(zip(words, [*(word.start for word in words[1:]), end], strict=True))
    utterances = []
    for number, part in enumerate(parts):
        first, last = part[0], part[-1]
        begin = round(max(first.start - _MARGIN, (ends[first] + first.start) / 2), 3)
        stop = round(min(last.end + _MARGIN, (last.end + starts[last]) / 2), 3)
        utterances.append(Utterance(f"{name}-{number:04d}", recording, text_of(part), begin, round(stop - begin, 3)))
    return utterances


def _log_probs(
    model: AlignmentModel, recording: Any, sample_rate: int | None
) -> tuple[np.ndarray, RecordingEnd, Path | None]:
    """Compute log-probabilities `(S, V)` of a whole recording, blank in the pauses left out; its end; its path."""
    parts: list[np.ndarray] = []
    frames, audio = 0, None
    for path, part in compute(model, read_recording(model, recording, sample_rate=sample_rate)):
        audio = path
        if isinstance(part, AudioError):
            raise part
        if isinstance(part, SegmentFrames):
            pause = blank(part.start - frames, len(model.units))
            parts += [pause, model.unit_rows(part.frames)]
            frames = part.start + len(part.frames)
        else:
            total = model.num_output_frames(round(part.seconds * model.sample_rate))
            parts.append(blank(max(0, total - frames), len(model.units)))
            end = part
    return np.concatenate(parts), end, audio


def _spans(frames: np.ndarray, seconds: float) -> tuple[tuple[float, float], ...]:
    """Join frames less than half a second apart into spans, in seconds; leave out spans too short to be a word."""
    if len(frames) == 0:
        return ()
    cuts = np.flatnonzero(np.diff(frames) * seconds > 0.5) + 1
    spans = (((part[0] - 0.5) * seconds, (part[-1] + 0.5) * seconds) for part in np.split(frames, cuts))
    return tuple((float(start), float(end)) for start, end in spans if end - start >= _SHORTEST)


def _groups(words: Sequence[Word | None], unwritten: Sequence[tuple[float, float]]) -> tuple[tuple[Word, ...], ...]:
    """Group words that were found, divided at words that were not found and at unwritten speech."""
    groups: list[list[Word]] = [[]]
    starts = [(start + end) / 2 for start, end in unwritten]
    for found in words:
        if found is None or (groups[-1] and any(groups[-1][-1].end <= at <= found.start for at in starts)):
            groups.append([])
        if found is not None:
            groups[-1].append(found)
    return tuple(tuple(group) for group in groups if group)
