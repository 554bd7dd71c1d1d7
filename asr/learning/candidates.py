"""Untranscribed recordings -> candidates: segments with speech, as a model recognises them, and how sure it is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from asr.decoding.times import runs
from asr.errors import AudioError, ConfigError
from asr.files import real_path
from asr.progress import ProgressBar
from asr.recognition.longform import RecordingEnd, SegmentFrames, segment_frames
from asr.recognition.transcribe import clip_to
from asr.recognition.transcriber import Transcriber
from asr.transcript import Word
from asr.utterance import Utterance

_MARGIN = 0.2  # seconds of a pause that stay with a segment, on either side
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment that could be transcribed: `start` and `end` in seconds of the recording of `utterance`.

    `units (L,)` are the hypothesis of best path, and `doubts (L,)` are 1 minus the posterior of each unit. `words` are
    the hypothesis of the model's own decoder.
    """

    utterance: Utterance
    start: float
    end: float
    units: tuple[int, ...]
    doubts: tuple[float, ...]
    words: tuple[Word, ...] = field(default=(), repr=False)

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def doubt(self) -> float:
        """The mean doubt of the units, in 0..1."""
        return sum(self.doubts) / len(self.doubts)

    @property
    def voice(self) -> str:
        """The speaker, or the recording if the speaker is not known."""
        return voice_of(self.utterance)


@dataclass(slots=True)
class Pool:
    """The candidates of recordings in their order, and how many seconds of speech and silence are no candidates."""

    candidates: list[Candidate] = field(default_factory=list)
    silent: float = 0.0  # seconds without speech
    wordless: float = 0.0  # seconds of sounds in which the model finds no unit
    transcribed: float = 0.0  # seconds of speech with a transcript already
    errors: list[AudioError] = field(default_factory=list)


def voice_of(utterance: Utterance) -> str:
    """Return the speaker of an utterance, or its recording if the speaker is not known."""
    return utterance.speaker or str(real_path(utterance.audio))


def find_candidates(
    model: Transcriber,
    utterances: Sequence[Utterance],
    transcribed: Callable[[Utterance], Sequence[Span]] = lambda utterance: (),
) -> Pool:
    """Recognise recordings, and return their segments with speech that have no transcript yet.

    `transcribed` returns the spans of a recording that have a transcript, in seconds. A recording that cannot be read
    is kept as an error, and stops no other. Raises ConfigError for a model without CTC.
    """
    if not model.has_ctc:
        raise ConfigError(
            "this model has no CTC output (model.decoder: attention, or model.ctc_weight: 0), so it cannot tell how "
            "sure it is of a letter; train one that can: asr train CONFIG --set model.decoder=ctc"
        )
    pool, parts = Pool(), list[SegmentFrames]()
    with ProgressBar("recognising", len(utterances)) as bar:
        for track, item in segment_frames(model, utterances):
            if isinstance(item, SegmentFrames):
                parts.append(item)
                continue
            if isinstance(item, AudioError):
                pool.errors.append(item)
            else:
                _add(pool, model, track.utterance, parts, item, transcribed(track.utterance))
            parts = []
            bar.advance()
    return pool


def _add(
    pool: Pool,
    model: Transcriber,
    utterance: Utterance,
    parts: Iterable[SegmentFrames],
    end: RecordingEnd,
    transcribed: Sequence[Span],
) -> None:
    """Add the segments of one recording to the pool."""
    frame, spoken = model.stride / model.sample_rate, 0.0  # seconds
    for part in parts:
        first, last = part.start * frame, min((part.start + len(part.frames)) * frame, end.seconds)
        speech = [(a, b) for a, b in end.speech if a < last and b > first]
        if not speech:
            continue
        start, stop = max(first, speech[0][0] - _MARGIN), min(last, speech[-1][1] + _MARGIN)
        shifted = start + utterance.offset, stop + utterance.offset
        spoken += stop - start
        if 2 * sum(_common(shifted, span) for span in transcribed) > stop - start:
            pool.transcribed += stop - start
            continue
        rows = model.unit_rows(part.frames)
        path = rows.argmax(axis=1)
        found = runs(path, rows[np.arange(len(path)), path])
        if not model.text([run.unit for run in found]):
            pool.wordless += stop - start
            continue
        pool.candidates.append(
            Candidate(
                utterance,
                *shifted,
                units=tuple(run.unit for run in found),
                doubts=tuple(float(-np.expm1(run.log_posterior)) for run in found),
                words=tuple(_shifted(clip_to(model.words(part.frames, part.start), end.seconds), utterance.offset)),
            )
        )
    pool.silent += max(0.0, end.seconds - spoken)


def _shifted(words: Iterable[Word], seconds: float) -> Iterator[Word]:
    for word in words:
        yield Word(word.text, word.start + seconds, word.end + seconds, word.confidence)


def _common(one: Span, other: Span) -> float:
    """Return how long two spans overlap."""
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
