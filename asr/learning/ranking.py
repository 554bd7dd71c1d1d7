"""Rank segments: choose those that together teach a model most for each second of audio.

A pattern is three units in a row (letters, with the space between words), or one unit in one voice. A pattern is worth
more the more often it occurs in the untranscribed speech, and less the more examples of it are transcribed: `n`
examples among `p` occurrences are worth `sqrt(p n)`. An example counts as much as the model doubts its units. So
segments are preferred that are hard for the model, dense in speech, typical of what is left, and unlike the training
data and each other. The value of a set of segments is submodular: a greedy choice has at least 63 % of the best value
(Nemhauser, Wolsey and Fisher 1978; for the selection of speech: Wei et al. 2014,
https://doi.org/10.1109/ICASSP.2014.6854213).
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from asr.learning.candidates import Candidate
from asr.wording import counted

_OVERHEAD = 1.0  # seconds that each segment costs beside its duration: somebody has to find it and to listen into it
_EDGE = 0  # stands before and after the units of a segment; 0 is the blank, which no hypothesis holds

Pattern = tuple[int, ...] | tuple[str, int]  # three units, or a voice and a unit


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen candidate, and its gain: the value that it adds to training data and earlier choices, for each second.

    `new_words` of its words occur neither there nor in earlier choices; `new_voice` tells that its voice does not.
    """

    candidate: Candidate
    gain: float
    new_words: int
    new_voice: bool


@dataclass(frozen=True, slots=True)
class Known:
    """The transcribed speech: how often each pattern occurs in it, its words, and its voices."""

    patterns: Counter[Pattern]
    words: frozenset[str]
    voices: frozenset[str]

    @classmethod
    def of(cls, transcripts: Iterable[tuple[str, Sequence[int], str]]) -> "Known":
        """Count the patterns of utterances, given as text, units and voice."""
        patterns, words, voices = Counter[Pattern](), set[str](), set[str]()
        for text, units, voice in transcripts:
            patterns.update(_patterns(units, voice))
            words.update(text.split())
            voices.add(voice)
        return cls(patterns, frozenset(words), frozenset(voices))


def choose(candidates: Sequence[Candidate], known: Known, seconds: float) -> Iterator[Choice]:
    """Choose candidates that together last at most `seconds`, the most useful first.

    The order is deterministic: of equal candidates, the first one in `candidates` comes first.
    """
    examples, weights = _examples(candidates)
    held: dict[Pattern, float] = dict(known.patterns)
    words, voices = set(known.words), set(known.voices)

    def gain(index: int) -> float:
        return _value(examples[index], held, weights) / (candidates[index].seconds + _OVERHEAD)

    queue = [(-gain(index), index, 0) for index in range(len(candidates))]
    heapq.heapify(queue)
    chosen, left = 0, seconds
    while queue:
        value, index, known_at = heapq.heappop(queue)
        one = candidates[index]
        if one.seconds > left:
            continue
        if known_at < chosen:  # since then its gain can only have fallen
            heapq.heappush(queue, (-gain(index), index, chosen))
            continue
        its_words = {word.text for word in one.words}
        yield Choice(one, -value, len(its_words - words), one.voice not in voices)
        words |= its_words
        voices.add(one.voice)
        for pattern, count in examples[index].items():
            held[pattern] = held.get(pattern, 0.0) + count
        left -= one.seconds
        chosen += 1


def reason(choice: Choice, *, alone: bool) -> str:
    """Say in words why a segment is chosen; `alone` tells that its recording has no other segment."""
    one = choice.candidate
    parts = [f"letters in doubt: {one.doubt:.0%}"]
    if choice.new_words:
        parts.append(counted("{} word<s> never seen", choice.new_words))
    if choice.new_voice and one.utterance.speaker:
        parts.append(f"new speaker {one.utterance.speaker}")
    elif choice.new_voice and not alone:
        parts.append("first of this recording")
    parts.append(f"{len(one.units) / one.seconds:.1f} letters a second")
    return "; ".join(parts)


def _value(examples: Mapping[Pattern, float], held: Mapping[Pattern, float], weights: Mapping[Pattern, float]) -> float:
    """Return what `examples` of patterns add to the value of those that are `held`."""
    return sum(
        weights[pattern] * (sqrt(held.get(pattern, 0.0) + count) - sqrt(held.get(pattern, 0.0)))
        for pattern, count in examples.items()
    )


def _examples(candidates: Sequence[Candidate]) -> tuple[list[dict[Pattern, float]], dict[Pattern, float]]:
    """Return the patterns of each candidate, with the sum of the doubts of their examples; and the patterns' weights.

    Doubts are divided by their mean over all candidates, so that an average example counts 1, as in training data.
    """
    doubts = [doubt for one in candidates for doubt in one.doubts]
    mean = sum(doubts) / len(doubts) if any(doubts) else 1.0
    examples: list[dict[Pattern, float]] = []
    occurrences = Counter[Pattern]()
    for one in candidates:
        patterns = _patterns(one.units, one.voice)
        occurrences.update(patterns)
        around = [one.doubts[0], *one.doubts, one.doubts[-1]]
        of_threes = [sum(around[i : i + 3]) / 3 for i in range(len(one.units))]
        found: dict[Pattern, float] = {}
        for pattern, doubt in zip(patterns, [*of_threes, *one.doubts], strict=True):
            found[pattern] = found.get(pattern, 0.0) + doubt / mean
        examples.append(found)
    return examples, {pattern: sqrt(count) for pattern, count in occurrences.items()}


def _patterns(units: Sequence[int], voice: str) -> list[Pattern]:
    """Return three units around each unit, then each unit with the voice."""
    edged = (_EDGE, *units, _EDGE)
    return [*(edged[i : i + 3] for i in range(len(units))), *((voice, unit) for unit in units)]
