"""The result type of every decoder."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A unit sequence without blanks and its score in nats.

    The score of the best path is the log-probability of this one path. The score of the beam search is the
    log-probability summed over all paths that the search kept, plus the scores of the language models.
    """

    units: tuple[int, ...]
    score: float
