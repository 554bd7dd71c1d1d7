"""What every decoder returns."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A unit sequence without blanks and its score in nats.

    From the best path, the score is the log-probability of that one path; from the beam search, that of all paths the
    search kept, plus what a language model adds.
    """

    units: tuple[int, ...]
    score: float
