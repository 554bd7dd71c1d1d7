"""Compare a corpus with measurements of this project on similar data, before and after training."""

from collections.abc import Sequence
from dataclasses import dataclass

_FEW_WORDS = 100  # different words; training texts with at most so many are of few words
_OTHER = 2.0  # times the hours of a measurement, up or down, from which it says so


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement of this project: the kind and hours of training data, its validation CER, and the page."""

    few_words: bool
    hours: float
    data: str
    cer: str  # percent
    page: str


MEASURED = (
    Measured(True, 0.08, "5 minutes of two words by one speaker", "0.0", "docs/first-model.md"),
    Measured(True, 0.3, "20 minutes of digits by six speakers", "0.5 to 0.8", "recipes/fsdd/README.md"),
    Measured(False, 0.08, "5 minutes of sentences by 1 to 14 speakers", "36 to 55", "docs/expect.md"),
    Measured(False, 0.33, "20 minutes of sentences by three speakers", "32 to 34", "docs/expect.md"),
    Measured(False, 1.1, "1.1 hours of sentences by three speakers", "20 to 25", "docs/expect.md"),
    Measured(False, 3.3, "3.3 hours of sentences by three speakers", "12 to 16", "docs/expect.md"),
)


def comparison(hours: float, texts: Sequence[str]) -> str:
    """Return what the project measured with the most similar amount of such data: few words, or sentences."""
    few_words = len({word for text in texts for word in text.split()}) <= _FEW_WORDS
    similar = [one for one in MEASURED if one.few_words == few_words]
    nearest = min(similar, key=lambda one: max(one.hours / hours, hours / one.hours))
    if hours * _OTHER < nearest.hours:
        note = "; expect more errors with less data"
    elif hours > _OTHER * nearest.hours:
        note = "; expect fewer errors with more data"
    else:
        note = ""
    return f"for comparison: {nearest.data} gave a validation CER of {nearest.cer} % ({nearest.page}){note}"
