"""Recordings -> transcripts: one model load, many inputs of any length, and no bad file stops the rest."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asr.audio import load_audio
from asr.equalize import equalize
from asr.errors import AudioError
from asr.recognition.longform import Channels, Stretch, compute, cut, stretches
from asr.recognition.recognizer import Recognizer
from asr.transcript import Guess, Transcript, Word, spoken
from asr.utterance import Utterance

if TYPE_CHECKING:
    from asr.recognition.steering import Steering  # brings numba, which best path needs not


def transcribe(
    recognizer: Recognizer,
    utterances: Iterable[Utterance],
    channels: Channels = "mix",
    steering: "Steering | None" = None,
) -> Iterator[tuple[Utterance, Transcript | AudioError]]:
    """Transcribes utterances in their order; `channels` is "mix", "split" (a transcript for each) or a number from 1.

    A recording that cannot be read gives its AudioError instead.
    """
    for (utterance, channel), result in _transcripts(recognizer, stretches(recognizer, utterances, channels), steering):
        if not isinstance(result, AudioError):
            words = [replace(w, start=w.start + utterance.offset, end=w.end + utterance.offset) for w in result.words]
            result = replace(result, words=tuple(words), channel=channel)
        yield utterance, result


def with_channel(utterance: Utterance, channel: int | None) -> Utterance:
    """The utterance of one channel among others, with an id of its own; the same utterance for None."""
    if channel is None:
        return utterance
    return replace(utterance, id=f"{utterance.id}-{channel}", extra={**utterance.extra, "channel": channel})


def transcribe_one(recognizer: Recognizer, source: Any, sample_rate: int | None = None) -> Transcript:
    """Transcribes a path, or an array or tensor with its `sample_rate` in Hz. Raises AudioError."""
    if isinstance(source, str | Path):
        _, result = next(transcribe(recognizer, [Utterance(id=str(source), audio=Path(source))]))
        if isinstance(result, AudioError):
            raise result
        return result
    rate = recognizer.sample_rate
    samples = load_audio(source, rate, source_rate=sample_rate)
    if recognizer.config.features.equalize:
        (samples,) = equalize([samples], rate)

    def read(offset: float, duration: float | None) -> np.ndarray:
        start = round(offset * rate)
        return samples[start : None if duration is None else start + round(duration * rate)]

    pieces = cut(read, len(samples) / rate, sample_rate=rate, stride=recognizer.stride)
    _, transcript = next(_transcripts(recognizer, compute(recognizer, ((None, piece) for piece in pieces))))
    return transcript


def _transcripts(
    recognizer: Recognizer, parts: Iterator[tuple[Any, Any]], steering: "Steering | None" = None
) -> Iterator[tuple[Any, Any]]:
    """One Transcript for the stretches of a source, at its end; an AudioError ends it too."""
    texts: list[str] = []
    words: list[Word] = []
    guesses: tuple[Guess, ...] = (Guess("", 0.0),)
    unsteered = guesses
    for source, part in parts:
        if isinstance(part, Stretch):
            if steering is None:
                text, found = recognizer.hear(part.frames, part.start)
                texts += [text] if text else []
                words += found
                continue
            rows, count = part.frames.numpy(), max(steering.nbest, 1)
            listed = steering.decoder.decode_n_best([rows], count)[0]
            timed = recognizer.words(part.frames, part.start, listed[0].units)
            words += [
                replace(word, confidence=math.exp(listed[0].score)) if steering.closed else word for word in timed
            ]
            texts = [spoken(words)]
            guesses = joined(guesses, [Guess(recognizer.text(h.units), h.score) for h in listed], count)
            if steering.unsteered is not None:
                (plain,) = steering.unsteered.decode([rows])
                unsteered = joined(unsteered, [Guess(recognizer.text(plain.units), plain.score)], 1)
            continue
        if not isinstance(part, AudioError):
            part = Transcript(" ".join(texts), part, inside(words, part))
            if steering is not None:
                part = replace(
                    part,
                    nbest=guesses if steering.nbest else (),
                    unsteered=unsteered[0].text if steering.unsteered is not None else None,
                    posterior=math.exp(guesses[0].score) if steering.closed else None,
                )
        yield source, part
        texts, words = [], []
        guesses = unsteered = (Guess("", 0.0),)


def joined(before: Sequence[Guess], after: Sequence[Guess], count: int) -> tuple[Guess, ...]:
    """The best `count` guesses at two stretches, one after the other, each text once; the first of both stay first."""
    scores: dict[str, float] = {}
    for left, right in product(before, after):
        text = f"{left.text} {right.text}".strip()
        scores[text] = max(scores.get(text, -math.inf), left.score + right.score)
    first, *others = scores
    return tuple(Guess(text, scores[text]) for text in [first, *sorted(others, key=lambda text: -scores[text])][:count])


def inside(words: list[Word], end: float) -> tuple[Word, ...]:
    """The same words, none of them after the end of the recording."""
    return tuple(word if word.end <= end else replace(word, end=end) for word in words)
