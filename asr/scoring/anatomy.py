"""Tables that show where the errors are: in words unknown from training, rare words, long or quiet utterances."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from asr.audio import load_audio
from asr.errors import AsrError
from asr.scoring.alignment import edits
from asr.scoring.files import Pair, score_pairs
from asr.scoring.tables import Table, percent
from asr.scoring.wer import ErrorRate, Score, count_errors, score

_BAND = 6  # dB
_QUIETEST = -96.0  # dB: digital silence of 16 bits
_RATE = 16000  # Hz, at which levels are measured

Band = tuple[float, str]  # key to sort by, and name


def by_training(result: Score, training: Iterable[str]) -> list[Table]:
    """Count missed reference words by whether `training` (normalised texts) has them, and by how often it has them.

    A word is missed if it is substituted or deleted. Insertions belong to no reference word and are not counted.
    """
    seen = Counter(word for text in training for word in text.split())
    steps = [step for utterance in edits(result.words) for step in utterance if step.reference]
    missed = np.array([[1, step.kind != "equal"] for step in steps])
    known = [(float(step.reference in seen), "known" if step.reference in seen else "unknown") for step in steps]
    often = [_decade(seen[step.reference]) for step in steps]
    columns = ("words", "missed")
    return [
        _table("Words known from training", ("in training", *columns), known, missed),
        _table("Words by how often training has them", ("times", *columns), often, missed),
    ]


def by_length(result: Score) -> Table:
    """Count word errors by the number of words of the reference, in bands that double."""
    counts = count_errors(result.words)
    return _utterances(
        "Utterances by length", "words long", [_octave(length) for length in counts[:, 0].tolist()], counts
    )


def by_level(result: Score, pairs: Sequence[Pair]) -> Table:
    """Count word errors by the level of the recording (RMS, dB relative to full scale), in bands of 6 dB.

    Raises AsrError if the references name no recordings, AudioError if a recording cannot be read.
    """
    rows = [pair.utterance for pair in pairs if pair.utterance is not None]
    if len(rows) < len(pairs):
        raise AsrError("the references are not a manifest, and only a manifest names the recordings")
    bands = [_level(row.audio, row.offset, row.duration) for row in rows]
    return _utterances("Utterances by signal level", "dB", bands, count_errors(result.words))


def oracle(pairs: Sequence[Pair]) -> ErrorRate | None:
    """Return the word error rate of the best hypothesis of each n-best list; None if no utterance has such a list."""
    if not any(pair.nbest for pair in pairs):
        return None
    texts = [(pair.reference, text) for pair in pairs for text in (pair.hypothesis, *pair.nbest)]
    counts = count_errors(score(*zip(*texts, strict=True), interval=False).words)
    errors = iter(counts[:, 1:].sum(axis=1).tolist())
    best = [min((pair.hypothesis, *pair.nbest), key=lambda _: next(errors)) for pair in pairs]
    return score_pairs([replace(pair, hypothesis=text) for pair, text in zip(pairs, best, strict=True)]).wer


def _utterances(title: str, column: str, bands: Sequence[Band], counts: np.ndarray) -> Table:
    columns = (column, "utterances", "words", "errors")
    rows = np.stack([np.ones(len(counts), dtype=np.int64), counts[:, 0], counts[:, 1:].sum(axis=1)], axis=1)
    return _table(title, columns, bands, rows)


def _table(title: str, columns: tuple[str, ...], bands: Sequence[Band], counts: np.ndarray) -> Table:
    """Sum `counts` in each band, and add the last column in percent of the column before it."""
    sums = {band: np.zeros(counts.shape[1], dtype=np.int64) for band in sorted(set(bands))}
    for band, row in zip(bands, counts, strict=True):
        sums[band] += row
    rows = [(name, *total.tolist(), percent(total[-1], total[-2])) for (_, name), total in sums.items()]
    return Table(title, (*columns, "%"), rows)


def _decade(count: int) -> Band:
    if count < 2:
        return count, str(count)
    low = 10 ** (len(str(count)) - 1)
    return max(low, 2), f"{max(low, 2)}-{10 * low - 1}"


def _octave(length: int) -> Band:
    if length < 3:
        return length, str(length)
    high = 1 << (length - 1).bit_length()
    return high, f"{high // 2 + 1}-{high}"


@cache  # a second system is scored on the recordings of the first
def _level(audio: Path, offset: float, duration: float | None) -> Band:
    samples = load_audio(audio, _RATE, offset=offset, duration=duration)
    power = float(np.mean(samples.astype(np.float64) ** 2))
    level = max(10 * math.log10(power), _QUIETEST) if power else _QUIETEST
    low = math.floor(level / _BAND) * _BAND
    return low, f"{low} to {low + _BAND}"
