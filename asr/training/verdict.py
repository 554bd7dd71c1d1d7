"""The verdict on a finished run: did it learn?"""

from collections.abc import Sequence

from asr.run_log import Row
from asr.training.watch import MEMORISED, MIN_STEPS, format_loss, uses_audio

_SMALL = 0.05  # nats a unit; a validation loss below it is good, whether it has risen or not
_WRONG = 90.0  # CER in percent, at and above which texts are wrong, or empty
_RISEN = 1.05  # times the lowest validation loss; a last loss above it shows that the model learned by heart


def verdict(log: Sequence[Row], kept: Row) -> str:
    """Return in words what the model of the epoch `kept` did: learned, began to, or learned by heart, or nothing."""
    steps, loss, baseline = log[-1]["step"], format_loss(kept["validation_loss"]), kept["no_listening_loss"]
    losses = f"validation loss {loss}; a model that ignores the audio reaches {baseline:.3f}"
    if uses_audio(kept) and kept.get("validation_cer", 0.0) >= _WRONG:
        return (
            f"verdict: it has begun to use the audio ({losses}), but its texts are empty or wrong, CER "
            f"{kept['validation_cer']:.2f}; it needs more epochs or more recordings: continue with --extend --set "
            f"training.epochs={2 * log[-1]['epoch']}"
        )
    if uses_audio(kept):
        lowest = min(log, key=lambda row: float(row["validation_loss"]))
        if log[-1]["validation_loss"] <= max(_RISEN * lowest["validation_loss"], _SMALL):
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
