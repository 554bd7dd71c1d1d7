"""Many recordings -> transcripts: one model load, recordings of any length, and no bad file stops the other files."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, TypeVar

from asr.errors import AudioError
from asr.recognition.interface import DecodingModel
from asr.recognition.longform import Channels, RecordingEnd, SegmentFrames, Track, segment_frames
from asr.transcript import Alternative, Transcript, Word, text_of
from asr.utterance import Utterance

if TYPE_CHECKING:
    from asr.recognition.search import Search  # imports numba, which best path does not need

S = TypeVar("S")


def transcribe(
    model: DecodingModel,
    utterances: Iterable[Utterance],
    channels: Channels = "mix",
    search: "Search | None" = None,
    *,
    salvage: bool = False,
    part: range | None = None,
    on_segment: Callable[[Track, SegmentFrames, str], None] | None = None,
) -> Iterator[tuple[Utterance, Transcript | AudioError]]:
    """Transcribe utterances in their order.

    `channels` is "mix" (the average of all), "split" (a transcript for each channel) or a number from 1. `search`
    replaces the model's own decoder. `salvage` reads what is there of a truncated recording. With `part`, only the
    utterances of these indices are transcribed, as they would be among all. A recording that cannot be read gives its
    AudioError instead of a transcript. `on_segment` is called after each segment, with its text; an exception that it
    raises ends all.
    """
    frames = segment_frames(model, utterances, channels, salvage=salvage, part=part)
    for track, result in transcripts(model, frames, search, on_segment):
        utterance = track.utterance
        if not isinstance(result, AudioError):
            result = replace(shifted(result, utterance.offset), channel=track.channel, audio=utterance.audio)
        yield utterance, result


def shifted(transcript: Transcript, seconds: float) -> Transcript:
    """Move the times of words and speech by `seconds`: from a part of a recording to the whole recording."""
    words = (replace(word, start=word.start + seconds, end=word.end + seconds) for word in transcript.words)
    speech = ((start + seconds, end + seconds) for start, end in transcript.speech)
    return replace(transcript, words=tuple(words), speech=tuple(speech))


def transcripts(
    model: DecodingModel,
    frames: Iterator[tuple[S, SegmentFrames | RecordingEnd | AudioError]],
    search: "Search | None" = None,
    on_segment: Callable[[S, SegmentFrames, str], None] | None = None,
) -> Iterator[tuple[S, Transcript | AudioError]]:
    """Decode segments; give the transcript of a recording at its end, or its AudioError."""
    parts = _Parts(model, search)
    for source, item in frames:
        if isinstance(item, SegmentFrames):
            text = parts.add(item)
            if on_segment is not None:
                on_segment(source, item, text)
            continue
        yield source, item if isinstance(item, AudioError) else parts.transcript(item)
        parts = _Parts(model, search)


class _Parts:
    """The decoded segments of one recording so far."""

    def __init__(self, model: DecodingModel, search: "Search | None") -> None:
        self._model, self._search = model, search
        self._texts: list[str] = []
        self._words: list[Word] = []
        self._nbest: tuple[Alternative, ...] = (Alternative("", 0.0),)
        self._unbiased: tuple[Alternative, ...] = self._nbest

    def add(self, segment: SegmentFrames) -> str:
        """Decode the next segment; return its text."""
        if self._search is not None:
            return self._add_searched(segment, self._search)
        text, words = self._model.decode_segment(segment.frames, segment.start)
        self._texts += [text] if text else []
        self._words += words
        return text

    def _add_searched(self, segment: SegmentFrames, search: "Search") -> str:
        rows, count = segment.frames, max(search.nbest, 2 if search.closed else 1)  # 2: a rejected phrase too
        hypotheses = search.decoder.decode_n_best([rows], count)[0]
        words = self._model.words(segment.frames, segment.start, hypotheses[0].units)
        if search.closed:
            words = tuple(replace(word, confidence=math.exp(hypotheses[0].score)) for word in words)
        self._words += words
        self._texts = [text_of(self._words)]
        alternatives = [Alternative(self._model.text(h.units), h.score) for h in hypotheses]
        self._nbest = joined(self._nbest, alternatives, count)
        if search.unbiased is not None:
            (plain,) = search.unbiased.decode([rows])
            self._unbiased = joined(self._unbiased, [Alternative(self._model.text(plain.units), plain.score)], 1)
        return text_of(words)

    def transcript(self, end: RecordingEnd) -> Transcript:
        """Return the transcript of all segments, in a recording with this end."""
        words = clip_to(self._words, end.seconds)
        transcript = Transcript(" ".join(self._texts), end.seconds, words, speech=end.speech)
        if self._search is None:
            return transcript
        return replace(
            transcript,
            nbest=self._nbest[: self._search.nbest],
            unbiased=self._unbiased[0].text if self._search.unbiased is not None else None,
            posterior=math.exp(self._nbest[0].score) if self._search.closed else None,
            nearest=self._nearest() if self._search.closed else None,
        )

    def _nearest(self) -> Alternative | None:
        """Return the best phrase of a recording in which no phrase was accepted, if a phrase is possible at all."""
        first, *others = self._nbest
        return None if first.text else next((one for one in others if one.text), None)


def joined(before: Sequence[Alternative], after: Sequence[Alternative], count: int) -> tuple[Alternative, ...]:
    """Join the n-best lists of two segments: the best `count` texts of one followed by the other, each text once.

    The first of both lists together stay first.
    """
    scores: dict[str, float] = {}
    for left, right in product(before, after):
        text = f"{left.text} {right.text}".strip()
        scores[text] = max(scores.get(text, -math.inf), left.score + right.score)
    first, *others = scores
    ranked = [first, *sorted(others, key=lambda text: -scores[text])]
    return tuple(Alternative(text, scores[text]) for text in ranked[:count])


def clip_to(words: Iterable[Word], end: float) -> tuple[Word, ...]:
    """Let no word end after `end` seconds, the end of the recording."""
    return tuple(word if word.end <= end else replace(word, end=end) for word in words)
