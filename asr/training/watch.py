"""Messages about a run: does the model use the audio, gradient norms, and the lines after each epoch."""

import logging
import math
import textwrap
from collections.abc import Sequence

import torch
from torch import Tensor

from asr.errors import TrainingError
from asr.lm.estimate import estimate
from asr.nn.ctc import ctc_loss
from asr.progress import format_duration
from asr.run_log import CRITERION_NAMES, Row
from asr.text import BLANK, Units
from asr.training.hardware import processes

logger = logging.getLogger(__name__)

USES_AUDIO = 0.9  # share of the baseline loss; a validation loss below it shows that the model uses the audio
MEMORISED = 0.5  # share of the baseline loss; a training loss below it shows that the model memorised utterances
MIN_STEPS = 1500  # fewest steps, with half of the epochs, before a run that ignores the audio is stopped
_SAMPLE = 256  # utterances that the baseline of CTC is fitted on
_ITERATIONS = 30  # most steps of expectation maximisation
_CONVERGED = 1e-4  # share of the loss; a step that gains less is the last
_SLOW_LOADING = 0.2  # share of an epoch's time from which the epoch lines mention loading audio


def baseline_sample(count: int) -> range:
    """Return which of `count` utterances the baseline of CTC is fitted on."""
    return range(0, count, max(1, count // _SAMPLE))


def ctc_baseline_loss(frames: Sequence[int], targets: Sequence[Sequence[int]], num_units: int) -> float:
    """Compute the CTC loss, in nats per unit, of the best model that ignores the audio.

    Such a model predicts one distribution of units for all frames. The distribution is fitted to the transcripts by
    expectation maximisation: the new probability of a unit is its expected share of the frames. `frames` are the
    encoder frames of each utterance (see `baseline_sample`); `targets` contain no blanks. A model whose loss stays at
    this value has learned how often units occur, and nothing from the recordings.
    """
    lengths = torch.tensor(list(frames))
    size, total = int(lengths.max()), int(lengths.sum())
    # Each text needs the blank and its own units only, so it gets an alphabet of its own: `(B, U)` units in all.
    alphabets = [sorted({BLANK, *target}) for target in targets]
    places = [{unit: place for place, unit in enumerate(alphabet)} for alphabet in alphabets]
    own = [[places_of[unit] for unit in target] for places_of, target in zip(places, targets, strict=True)]
    units = torch.nn.utils.rnn.pad_sequence([torch.tensor(alphabet) for alphabet in alphabets], True, num_units)
    log_probs = torch.full((num_units,), -math.log(num_units))
    nats = math.inf
    for _ in range(_ITERATIONS):
        padded = torch.cat([log_probs, torch.tensor([-math.inf])])  # the last unit fills short alphabets
        local = padded[units].requires_grad_()
        loss = ctc_loss(local[:, None].expand(-1, size, -1), lengths, own).sum()
        (gradient,) = torch.autograd.grad(loss, local)  # expected share of a unit less its expected count
        counts = torch.zeros(num_units + 1).index_add_(
            0, units.flatten(), (lengths[:, None] * local.detach().exp() - gradient).flatten()
        )
        log_probs = (counts[:-1] / total).clamp_min(1e-8).log()
        before, nats = nats, min(nats, loss.item())
        if before - nats < _CONVERGED * nats:
            break
    return nats / sum(max(1, len(target)) for target in targets)


def language_baseline_loss(training: Sequence[str], validation: Sequence[str], units: Units) -> float:
    """Compute the loss, in nats per unit, of an n-gram model of the training texts on the validation texts.

    A decoder that knows all previous units can reach this loss if it ignores the audio: it can learn to write the
    language without the recordings. The texts are normalised; the ends of texts count.
    """
    model = estimate(training, units="words" if units.kind == "phones" else "characters").model
    return -model.perplexity(validation).log_prob / sum(max(1, len(units.split(text))) for text in validation)


def gradient_norms(model: torch.nn.Module, *, scale: float) -> dict[str, float]:
    """Return the norm of the gradient, times `scale`, of each child of `model`, and of each member of its lists.

    The norms show where gradients vanish or explode; `scale` undoes clipping.
    """
    parts: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            words = name.split(".")
            part = ".".join(words[: 2 if len(words) > 1 and words[1].isdigit() else 1])
            parts[part] = parts.get(part, 0) + parameter.grad.detach().float().square().sum()
    return {part: scale * float(value.sqrt()) for part, value in parts.items()}


def uses_audio(row: Row) -> bool:
    """Return whether the validation loss of an epoch is clearly below that of a model that ignores the audio."""
    return bool(row["validation_loss"] < USES_AUDIO * row["no_listening_loss"])


def stop_if_audio_ignored(log: Sequence[Row], *, epochs: int, step: int) -> None:
    """Raise TrainingError, with what to check, if a model has had enough steps and never used the audio."""
    if step < MIN_STEPS or log[-1]["epoch"] < epochs / 2 or any(map(uses_audio, log)):
        return
    found, baseline = log[-1]["validation_loss"], log[-1]["no_listening_loss"]
    raise TrainingError(
        f"the model ignores the audio: after {len(log)} epochs its validation loss is {found:.3f}, and a model without "
        f"audio reaches {baseline:.3f}. Either the transcripts do not belong to the recordings, or there is too little "
        "data, or training.learning_rate is wrong. Run `asr selftest` on the training manifest to check transcripts"
    )


def audio_warning(row: Row, *, epochs: int) -> str:
    """Return a warning if the model ignores the audio or memorised utterances; an empty text after the last epoch."""
    if uses_audio(row) or row["epoch"] >= epochs:  # the verdict follows the last epoch
        return ""
    if row["train_loss"] < MEMORISED * row["no_listening_loss"]:
        return "memorises the training utterances; it does not recognise other utterances"
    normal = max(epochs // 2, -(-MIN_STEPS * row["epoch"] // row["step"]))
    if normal >= epochs:
        steps = row["step"] * epochs // row["epoch"]
        return f"does not use the audio yet; {MIN_STEPS} steps may be needed, this run has {steps}"
    return f"does not use the audio yet; this is normal until about epoch {normal}"


def format_loss(loss: float) -> str:
    """Format a loss with at least three significant digits: 12.345, 0.759, 0.000412."""
    return f"{loss:.3f}" if loss >= 0.1 else f"{loss:.3g}"


def epoch_lines(row: Row, scores: str, *, epochs: int, best: bool, remaining: float | None, warning: str = "") -> str:
    """Format the lines printed after an epoch; all but the samples fit 80 columns.

    The first line has the losses and the `scores` of the task. The second line has the time so far, and the estimated
    time left if it is known. Then follow the errors of each of several validation corpora, a `warning`, if there is
    one, and the samples of the row.
    """
    facts = [format_duration(row["seconds"])]
    if remaining is not None:
        facts[0] += f", about {format_duration(remaining)} left"
    if best:
        facts.append("best so far")
    if row["load_share"] >= _SLOW_LOADING:
        facts.append(f"{row['load_share']:.0%} of it loading audio")
    lines = [
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  loss {format_loss(row['train_loss'])}  {scores}",
        "; ".join(facts),
        *_corpora_lines(row),
        *([warning] if warning else []),
        *(f"{reference!r} recognised as {hypothesis!r}" for reference, hypothesis in row.get("samples", ())),
    ]
    return "\n    ".join(lines)


def _corpora_lines(row: Row) -> list[str]:
    """Format the CER or error rate of each validation corpus of a row, if it has several."""
    rates = [
        f"{part['name']} {part[field]:.2f}"
        for part in row.get("validation", ())
        for field in CRITERION_NAMES
        if field in part
    ]
    return textwrap.wrap("by corpus: " + ", ".join(rates), 76, break_on_hyphens=False) if rates else []


def say(line: str) -> None:
    """Log a line for the person who watches the run, once for all processes."""
    if processes().is_main_process:
        logger.info(line)
