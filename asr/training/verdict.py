"""The verdict on a finished run: did it learn, and what was measured with about as much data."""

from collections.abc import Sequence
from dataclasses import dataclass

from asr.run_log import Row
from asr.training.watch import MEMORISED, MIN_STEPS, format_loss, uses_audio

_FEW_WORDS = 100  # different words; training texts with at most so many are of few words
_RISEN = 1.05  # times the lowest validation loss; a last loss above it shows that the model learned by heart
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
    Measured(True, 0.3, "20 minutes of digits by six speakers", "0.5 to 0.7", "recipes/fsdd/README.md"),
    Measured(False, 0.08, "5 minutes of sentences by 3 to 14 speakers", "40 to 53", "docs/expect.md"),
    Measured(False, 1.1, "1.1 hours of sentences by three speakers", "20 to 25", "docs/expect.md"),
    Measured(False, 3.3, "3.3 hours of sentences by three speakers", "12 to 16", "docs/expect.md"),
)


def verdict(log: Sequence[Row], kept: Row) -> str:
    """Return in words whether the model of the epoch `kept` learned, never used the audio, or learned by heart."""
    steps, loss, baseline = log[-1]["step"], format_loss(kept["validation_loss"]), kept["no_listening_loss"]
    losses = f"validation loss {loss}; a model that ignores the audio reaches {baseline:.3f}"
    if uses_audio(kept):
        lowest = min(log, key=lambda row: float(row["validation_loss"]))
        if log[-1]["validation_loss"] <= _RISEN * lowest["validation_loss"]:
            return f"verdict: it learned ({losses})"
        return (
            f"verdict: it learned ({losses}), and from epoch {lowest['epoch'] + 1} on it learned its training "
            "utterances by heart; more recordings, augment or training.consistency help: docs/accuracy.md"
        )
    if min(row["train_loss"] for row in log) < MEMORISED * baseline:
        return (
            f"verdict: it learned its training utterances by heart, and recognises no others ({losses}); it needs more "
            "recordings, a smaller model, or augment: docs/accuracy.md"
        )
    if steps < MIN_STEPS:
        enough = -(-MIN_STEPS * log[-1]["epoch"] // steps)
        return (
            f"verdict: it never used the audio ({losses}); {steps} steps are few, models often need {MIN_STEPS}: "
            f"continue with --extend --set training.epochs={enough}"
        )
    return (
        f"verdict: it never used the audio ({losses}); the transcripts may not belong to the recordings: run "
        "`asr selftest` on the training manifest"
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
