"""A recording and its text -> when each word is said, tolerant of what is not said and of what is not written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.decoding.forced import ANY_SOUND, best_states, words_target
from asr.decoding.times import Run, word
from asr.errors import AsrError, AudioError
from asr.recognition.longform import Stretch, stretches
from asr.recognition.recognizer import Recognizer
from asr.recognition.steady import blank
from asr.text import BLANK
from asr.transcript import Transcript, Word, segments, spoken, widest_gap
from asr.utterance import Utterance

SURE = 0.6  # mean confidence of the words of a segment that is good enough to train on
LONGEST = 20.0  # seconds of such a segment
_PAUSE = 0.3  # seconds between words where such a segment may end
_SHORTEST = 0.1  # seconds of speech that is worth naming
_NAMED = 20  # words or places that are named in full
_MARGIN = 0.1  # seconds before and after its words, or half the gap to the next word if that is less


@dataclass(frozen=True, slots=True)
class Alignment:
    """The words that were found, and what does not fit.

    `unspoken` are words of the text that were not found. `unwritten` are starts and ends, in seconds, of speech that
    is not in the text. `groups` divides the words wherever one of either kind lies between them.
    """

    transcript: Transcript
    unspoken: tuple[str, ...]
    unwritten: tuple[tuple[float, float], ...]
    groups: tuple[tuple[Word, ...], ...]

    def report(self) -> list[str]:
        """What a user should know, in lines."""
        found = len(self.transcript.words)
        lines = [f"{found} of {found + len(self.unspoken)} words found"]
        if self.unspoken:
            more = " …" if len(self.unspoken) > _NAMED else ""
            lines.append(f"not said: {' '.join(self.unspoken[:_NAMED])}{more}")
        if self.unwritten:
            places = ", ".join(f"{start:.1f}-{end:.1f}" for start, end in self.unwritten[:_NAMED])
            seconds = sum(end - start for start, end in self.unwritten)
            lines.append(f"not written: {seconds:.1f} s of speech, at {places}{' …' * (len(self.unwritten) > _NAMED)}")
        return lines


def align(recognizer: Recognizer, recording: str | Path, text: str) -> Alignment:
    """Finds the words of `text` in a recording of any length.

    The confidence of a word is as in transcription. Characters that the model has no unit for are passed over, and a
    word of nothing else stands with the word before it. Raises AudioError, AsrError for a text without words, or
    ConfigError for a model without CTC.
    """
    texts, spelled = spell(recognizer, text)
    log_probs, duration = _log_probs(recognizer, Path(recording))
    words, unwritten = find_words(recognizer, log_probs, texts, spelled)
    found = [one for one in words if one is not None]
    return Alignment(
        Transcript(spoken(found), duration, tuple(found)),
        tuple(text for text, one in zip(texts, words, strict=True) if one is None),
        unwritten,
        _groups(words, unwritten),
    )


def find_words(
    recognizer: Recognizer, log_probs: np.ndarray, texts: Sequence[str], spelled: Sequence[list[int]]
) -> tuple[list[Word | None], tuple[tuple[float, float], ...]]:
    """Where `log_probs (S, V)` say each word that `spell` gave, None where they do not, and what else they say.

    The latter are starts and ends, in seconds, of speech that is not in the text.
    """
    space = [] if recognizer.units.unknown(" ") else recognizer.units.encode(" ")
    target = words_target([spelled[0], *(space + units for units in spelled[1:])])
    states = best_states(log_probs, target)
    path = target.units[states]
    posteriors = log_probs[np.arange(len(path)), path]
    seconds = recognizer.stride / recognizer.sample_rate

    words: list[Word | None] = []
    for index, (end, units) in enumerate(zip(target.boundaries[1:].tolist(), spelled, strict=True)):
        labels = np.arange(end + 1 - 2 * len(units), end, 2)  # states are in order, so each label is one run of frames
        bounds = zip(np.searchsorted(states, labels).tolist(), np.searchsorted(states, labels, "right").tolist())  # noqa: B905
        runs = [
            Run(unit, first, beyond, float(posteriors[first:beyond].max()))
            for unit, (first, beyond) in zip(units, bounds, strict=True)
            if first < beyond
        ]
        words.append(word(texts[index], runs, seconds_per_frame=seconds) if runs else None)
    any_sound = log_probs[:, BLANK + 1 :].max(axis=1) - ANY_SOUND
    frames = np.flatnonzero(np.isin(states, target.boundaries) & (any_sound > log_probs[:, BLANK]))
    return words, _spans(frames, seconds)


def spell(recognizer: Recognizer, text: str) -> tuple[list[str], list[list[int]]]:
    """The words as they are written, and the units of each; a letter may stand for itself in lower case."""
    units = recognizer.units
    texts: list[str] = []
    spelled: list[list[int]] = []
    waiting = ""  # what stands before the first word that can be spelled
    for written in text.split():
        folded = (c.lower() if units.unknown(c) else c for c in recognizer.normalizer(written))
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
    """The segments to train on: between pauses, sure, and without anything unspoken or unwritten in them."""
    chosen: list[tuple[Word, ...]] = []
    waiting = [part for group in alignment.groups for part in segments(group, _PAUSE)][::-1]
    while waiting:
        part = waiting.pop()
        if len(part) > 1 and part[-1].end - part[0].start > LONGEST:
            middle = widest_gap(part)
            waiting += [part[middle:], part[:middle]]
        elif np.mean([word.confidence for word in part]) >= SURE:
            chosen.append(part)
    words = alignment.transcript.words
    ends = dict(zip(words, [0.0, *(word.end for word in words[:-1])], strict=True))  # of the word before each
    starts = dict(zip(words, [*(word.start for word in words[1:]), alignment.transcript.duration], strict=True))
    utterances = []
    for number, part in enumerate(chosen):
        first, last = part[0], part[-1]
        start = round(max(first.start - _MARGIN, (ends[first] + first.start) / 2), 3)
        end = round(min(last.end + _MARGIN, (last.end + starts[last]) / 2), 3)
        utterances.append(Utterance(f"{name}-{number:04d}", recording, spoken(part), start, round(end - start, 3)))
    return utterances


def _log_probs(recognizer: Recognizer, recording: Path) -> tuple[np.ndarray, float]:
    """Log-probabilities `(S, V)` of a whole recording, blank in the pauses it was cut at, and its seconds."""
    parts: list[np.ndarray] = []
    frames = 0
    for _, part in stretches(recognizer, [Utterance(str(recording), recording)]):
        if isinstance(part, AudioError):
            raise part
        if isinstance(part, Stretch):
            pause = blank(part.start - frames, len(recognizer.units))
            parts += [pause.numpy(), recognizer.ctc(part.frames).cpu().numpy()]
            frames = part.start + len(part.frames)
        else:
            total = recognizer.num_output_frames(round(part * recognizer.sample_rate))
            parts.append(blank(max(0, total - frames), len(recognizer.units)).numpy())
            duration = part
    return np.concatenate(parts), duration


def _spans(frames: np.ndarray, seconds: float) -> tuple[tuple[float, float], ...]:
    """Starts and ends in seconds of frames less than half a second apart, without those too short to be a word."""
    if len(frames) == 0:
        return ()
    cuts = np.flatnonzero(np.diff(frames) * seconds > 0.5) + 1
    spans = (((part[0] - 0.5) * seconds, (part[-1] + 0.5) * seconds) for part in np.split(frames, cuts))
    return tuple((float(start), float(end)) for start, end in spans if end - start >= _SHORTEST)


def _groups(words: Sequence[Word | None], unwritten: Sequence[tuple[float, float]]) -> tuple[tuple[Word, ...], ...]:
    """Runs of words that were found, divided where one was not or where something unwritten is said."""
    groups: list[list[Word]] = [[]]
    starts = [(start + end) / 2 for start, end in unwritten]
    for found in words:
        if found is None or (groups[-1] and any(groups[-1][-1].end <= at <= found.start for at in starts)):
            groups.append([])
        if found is not None:
            groups[-1].append(found)
    return tuple(tuple(group) for group in groups if group)
