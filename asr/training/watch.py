"""Watching a run: is it learning, and what to say of each epoch."""

import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from asr.errors import TrainingError
from asr.lm.estimate import estimate
from asr.nn.ctc import ctc_loss
from asr.run_log import Row
from asr.text import Units
from asr.training.hardware import processes

LISTENING = 0.9  # share of the no-listening loss below which a model has begun to listen
BY_HEART = 0.5  # the same of the training loss, where validation loss is not: it knows these recordings and no others
MIN_STEPS = 1500  # a model that does not listen gets at least so many steps, and half its epochs
_SAMPLE = 256  # utterances that the no-listening loss is fitted on
_ITERATIONS = 30


def no_listening_loss(frames: Sequence[int], targets: Sequence[Sequence[int]], num_units: int) -> float:
    """CTC loss, nats per unit, of the best model that ignores the audio: one distribution of units for all frames.

    It is fitted to the transcripts by expectation maximisation: each unit's new probability is its expected share
    of the frames. `frames` are encoder frames of each utterance, `targets` without blanks. A model whose loss
    stays there has learned how often units come, and nothing from the recordings.
    """
    every = max(1, len(targets) // _SAMPLE)
    lengths, targets = torch.tensor(list(frames)[::every]), list(targets)[::every]
    size, total = int(lengths.max()), int(lengths.sum())
    logits = torch.zeros(num_units)
    loss = torch.zeros(())
    for _ in range(_ITERATIONS):
        logits = logits.detach().requires_grad_()
        log_probs = logits.log_softmax(0).expand(len(targets), size, num_units)
        loss = ctc_loss(log_probs, lengths, targets).sum()
        (gradient,) = torch.autograd.grad(loss, logits)
        counts = total * logits.detach().softmax(0) - gradient  # expected, of each unit
        logits = (counts / total).clamp_min(1e-8).log()
    return loss.item() / max(1, sum(map(len, targets)))


def reading_loss(training: Sequence[str], validation: Sequence[str], units: Units) -> float:
    """Nats per unit of validation texts under the n-gram model of normalised training texts, ends of texts included.

    It is what an attention decoder can reach that ignores the audio: unlike CTC it knows the units before each, and
    so may well learn to write the language without listening.
    """
    model = estimate(training, units="words" if units.kind == "phones" else "characters").model
    return -model.perplexity(validation).log_prob / sum(len(units.split(text)) for text in validation)


def gradient_norms(model: torch.nn.Module, *, scale: float) -> dict[str, float]:
    """Norm of the gradient, times `scale`, of each child of `model`, the members of a list apart.

    They show where gradients vanish or explode; `scale` undoes clipping.
    """
    parts: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            words = name.split(".")
            part = ".".join(words[: 2 if words[1].isdigit() else 1])
            parts[part] = parts.get(part, 0) + parameter.grad.detach().float().square().sum()
    return {part: scale * float(value.sqrt()) for part, value in parts.items()}


def is_listening(row: Row) -> bool:
    return bool(row["validation_loss"] < LISTENING * row["no_listening_loss"])


def stop_if_deaf(log: Sequence[Row], *, epochs: int, step: int) -> None:
    """Raises TrainingError, with what to look at, if a model has had its time and never begun to listen."""
    if step < MIN_STEPS or log[-1]["epoch"] < epochs / 2 or any(map(is_listening, log)):
        return
    raise TrainingError(
        f"the model does not listen: after {len(log)} epochs its validation loss is {log[-1]['validation_loss']:.3f}, "
        f"and one that ignores the recordings reaches {log[-1]['no_listening_loss']:.3f}. Either the transcripts do "
        "not belong to the recordings, or there is too little data, or training.learning_rate does not suit it; "
        "`asr selftest` on the training manifest tells the first from the others"
    )


def listening_line(row: Row, *, epochs: int) -> str:
    """Whether a model listens; if not, whether it knows its training data by heart, or until when that is normal."""
    if is_listening(row):
        return "listening"
    if row["train_loss"] < BY_HEART * row["no_listening_loss"]:
        return "learned by heart"
    normal = min(epochs, max(epochs // 2, -(-MIN_STEPS * row["epoch"] // row["step"])))
    return f"not listening yet, normal before about epoch {normal}"


def epoch_lines(row: Row, told: str, *, epochs: int, best: bool, eta: float) -> str:
    """What is printed after an epoch: one line, with what its task has `told`, and one for each sample in the row."""
    samples = "".join(f"\n    {reference!r} heard as {heard!r}" for reference, heard in row.get("samples", ()))
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {row['seconds']:6.0f} s  loss {row['train_loss']:.3f}  "
        f"{told}  load {row['load_share']:.0%}  ETA {eta:.0f} s" + ("  best so far" if best else "") + samples
    )


def say(line: str) -> None:
    """A line for the person watching, once however many processes train; results go to stdout, all else here."""
    if processes().is_main_process:
        print(line, file=sys.stderr, flush=True)
