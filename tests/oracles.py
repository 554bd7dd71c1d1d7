"""Slow, independent versions of what the library computes, written from the definitions."""

import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    """CTC's map from a path to its labels: merge repeats, then drop blanks."""
    return tuple(unit for unit, _ in itertools.groupby(path) if unit != 0)


def ctc_loss_by_enumeration(log_probs: np.ndarray, target: tuple[int, ...]) -> float:
    """-log of the summed probability of all `V ** S` paths that collapse to `target`. `log_probs` is `(S, V)`."""
    frames, units = log_probs.shape
    total = -math.inf
    for path in itertools.product(range(units), repeat=frames):
        if collapse(path) == target:
            total = np.logaddexp(total, sum(log_probs[t, unit] for t, unit in enumerate(path)))
    return -float(total)


def prefixes_by_enumeration(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Log-probability of every label sequence that `log_probs (S, V)` can emit, over all its paths."""
    frames, units = log_probs.shape
    totals: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(units), repeat=frames):
        score = sum(float(log_probs[t, unit]) for t, unit in enumerate(path))
        totals[collapse(path)] = float(np.logaddexp(totals.get(collapse(path), -math.inf), score))
    return totals


def packed_rnn(layer: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    """What PyTorch's own packed bidirectional RNN gives with the weights of an `RNNLayer`; padding is 0."""
    ahead = layer.forward_rnn
    reference = type(ahead)(
        ahead.input_size,
        ahead.hidden_size,
        batch_first=True,
        bidirectional=layer.backward_rnn is not None,
        **({"nonlinearity": ahead.nonlinearity} if isinstance(ahead, nn.RNN) else {}),
    )
    state = dict(ahead.state_dict())
    if layer.backward_rnn is not None:
        state |= {f"{name}_reverse": value for name, value in layer.backward_rnn.state_dict().items()}
    reference.load_state_dict(state)
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    output, _ = nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True, total_length=x.shape[1])
    return output


def edit_distance(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein distance by its recurrence."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, start=1):
        previous, row = row, [i]
        for j, found in enumerate(hypothesis, start=1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (expected != found)))
    return row[-1]


def random_waveforms(seed: int, count: int, sample_rate: int = 8000) -> list[np.ndarray]:
    """Noise bursts of 0.2 to 1.5 s with tones in them, float32 on the 16-bit grid."""
    generator = np.random.default_rng(seed)
    waveforms = []
    for _ in range(count):
        time = np.arange(int(generator.integers(sample_rate // 5, sample_rate * 3 // 2))) / sample_rate
        tone = np.sin(2 * np.pi * generator.uniform(100, 3000) * time * (1 + time))
        samples = 0.2 * tone + 0.05 * generator.standard_normal(len(time))
        waveforms.append((np.round(samples * 32768) / 32768).astype(np.float32))
    return waveforms


def randomise(module: nn.Module, seed: int, scale: float = 0.3) -> None:
    """Weights large enough that outputs depend visibly on every input."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
