"""How far a rate would move on another test set: resampling of speakers, or of utterances where those are few."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
# Utterances of one speaker err together, so speakers are drawn whole. In a simulation of 6 speakers with 30 utterances
# of 5 words each, the interval over speakers held the true rate 83 times in 100, that over utterances 66, where
# speakers differ (logit of the error rate: mean -2.5, deviation 0.5); 88 and 94 where they do not. Fewer: both fail.
MIN_SPEAKERS = 6
_CHUNK = 256  # resamples drawn at a time, so that memory stays flat


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """What is drawn: `index[u]` is the cluster of utterance `u`; `unit` says in words what a cluster is."""

    unit: str
    index: np.ndarray

    def __len__(self) -> int:
        return int(self.index.max()) + 1

    def __str__(self) -> str:
        return f"{len(self)} {self.unit}{'s' * (len(self) != 1)}"


def clusters(speakers: Sequence[str | None]) -> Clusters:
    """Speakers, where every utterance has one and there are at least `MIN_SPEAKERS`; else utterances."""
    if None not in speakers and len(set(speakers)) >= MIN_SPEAKERS:
        return Clusters("speaker", np.unique(np.array(speakers), return_inverse=True)[1])
    return Clusters("utterance", np.arange(len(speakers)))


def resample(counts: np.ndarray, drawn: Clusters) -> np.ndarray:
    """Column sums of `counts`, shape `(utterances, columns)`, in each of the resamples: `(RESAMPLES, columns)`.

    The draws are the same each time, so that rows of two systems' counts stay paired.
    """
    sums = np.zeros((len(drawn), counts.shape[1]), dtype=np.int64)
    np.add.at(sums, drawn.index, counts)
    generator = np.random.default_rng(0)
    totals = []
    for start in range(0, RESAMPLES, _CHUNK):
        draws = generator.integers(len(sums), size=(min(_CHUNK, RESAMPLES - start), len(sums)))
        totals.append(np.stack([column[draws].sum(axis=1) for column in sums.T], axis=1))
    return np.concatenate(totals)


def middle_95(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of resampled values (Bisani and Ney 2004)."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
