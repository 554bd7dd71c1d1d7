"""Slow, independent versions of the library's computations, written from their definitions."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    """Map a path of CTC to its labels: merge repeats, then drop blanks."""
    return tuple(unit for unit, _ in itertools.groupby(path) if unit != 0)


def ctc_loss_by_enumeration(log_probs: np.ndarray, target: tuple[int, ...]) -> float:
    """Return -log of the summed probability of all paths that collapse to `target`; `log_probs` is `(S, V)`."""
    frames, units = log_probs.shape
    total = -math.inf
    for path in itertools.product(range(units), repeat=frames):
        if collapse(path) == target:
            total = np.logaddexp(total, sum(log_probs[t, unit] for t, unit in enumerate(path)))
    return -float(total)


def prefixes_by_enumeration(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Return the log-probability of every label sequence that `log_probs (S, V)` can emit, over all its paths."""
    frames, units = log_probs.shape
    totals: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(units), repeat=frames):
        score = sum(float(log_probs[t, unit]) for t, unit in enumerate(path))
        totals[collapse(path)] = float(np.logaddexp(totals.get(collapse(path), -math.inf), score))
    return totals


def packed_rnn(layer: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    """Run PyTorch's packed bidirectional RNN with the weights of an `RNNLayer`; padding is 0."""
    return run_packed(packed_reference(layer), x, lengths)


def packed_reference(layer: nn.Module) -> nn.RNNBase:
    """Build PyTorch's RNN with the weights of an `RNNLayer`, in equal order."""
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
    return reference


def run_packed(rnn: nn.RNNBase, x: Tensor, lengths: Tensor) -> Tensor:
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    output, _ = nn.utils.rnn.pad_packed_sequence(rnn(packed)[0], batch_first=True, total_length=x.shape[1])
    return output


def truncated_bptt(
    lstm: bool, w: np.ndarray, u: np.ndarray, b: np.ndarray, x: np.ndarray, out: np.ndarray, chunk: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Compute outputs `(S, H)` of a tanh or LSTM cell for `x (S, I)`, and the gradients of `w`, `u` and `b`, by hand.

    `w` is `(gates H, I)`, with gates in PyTorch's order, and `out (S, H)` is the gradient of the loss by each output.
    The state is carried through all chunks; no gradient crosses the border of a chunk (Werbos 1990; Williams and Peng
    1990).
    """
    size = u.shape[1]
    hs, cs, gates = [np.zeros(size)], [np.zeros(size)], []
    for frame in x:
        z = w @ frame + u @ hs[-1] + b
        if lstm:
            i, f, o = (1 / (1 + np.exp(-z[n * size : (n + 1) * size])) for n in (0, 1, 3))
            g = np.tanh(z[2 * size : 3 * size])
            cs.append(f * cs[-1] + i * g)
            hs.append(o * np.tanh(cs[-1]))
            gates.append((i, f, g, o))
        else:
            hs.append(np.tanh(z))
    dw, du, db = np.zeros_like(w), np.zeros_like(u), np.zeros_like(b)
    dh, dc = np.zeros(size), np.zeros(size)
    for t in reversed(range(len(x))):
        if (t + 1) % chunk == 0:
            dh, dc = np.zeros(size), np.zeros(size)
        dh = dh + out[t]
        if lstm:
            i, f, g, o = gates[t]
            squashed = np.tanh(cs[t + 1])
            dc = dc + dh * o * (1 - squashed**2)
            by_gate = dc * g * i * (1 - i), dc * cs[t] * f * (1 - f), dc * i * (1 - g**2), dh * squashed * o * (1 - o)
            dz = np.concatenate(by_gate)
            dc = dc * f
        else:
            dz = dh * (1 - hs[t + 1] ** 2)
        dw, du, db = dw + np.outer(dz, x[t]), du + np.outer(dz, hs[t]), db + dz
        dh = u.T @ dz
    return np.array(hs[1:]), (dw, du, db)


def edit_distance(reference: list[str], hypothesis: list[str]) -> int:
    """Compute the Levenshtein distance by its recurrence."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, start=1):
        previous, row = row, [i]
        for j, found in enumerate(hypothesis, start=1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (expected != found)))
    return row[-1]


class SlowNGram:
    """Interpolated Kneser-Ney and Witten-Bell with dictionaries, straight from the equations."""

    def __init__(self, sentences: Sequence[Sequence[str]], order: int, thresholds: Sequence[int]) -> None:
        padded = [("<s>", *sentence, "</s>") for sentence in sentences]
        self.order = min(order, max(map(len, padded)))
        self.thresholds = thresholds
        self.events = {token for sentence in padded for token in sentence} - {"<s>"} | {"<unk>"}
        self.seen = Counter(
            sentence[start : start + n]
            for sentence in padded
            for n in range(1, order + 1)
            for start in range(len(sentence) - n + 1)
        )
        before = Counter(ngram[1:] for ngram in self.seen)  # each distinct n-gram once: distinct tokens before the rest
        self.counts = {
            ngram: self.seen[ngram] if len(ngram) == self.order or ngram[0] == "<s>" else before[ngram]
            for ngram in self.seen
            if ngram != ("<s>",)
        }
        self.followers: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for ngram in self.counts:
            self.followers[ngram[:-1]].append(ngram[-1])
        self.methods = [self._method(n) for n in range(1, self.order + 1)]

    def _method(self, n: int) -> dict[int, float] | None:
        """Discounts for counts 1, 2 and 3 or more; None for Witten-Bell."""
        t = Counter(count for ngram, count in self.counts.items() if len(ngram) == n)
        if not t[1] or not t[2]:
            return None
        y = t[1] / (t[1] + 2 * t[2])
        if t[3] and t[4]:
            three = {k: k - (k + 1) * y * t[k + 1] / t[k] for k in (1, 2, 3)}
            if min(three.values()) > 0:
                return three
        return {1: y, 2: y, 3: y}

    def prob(self, history: tuple[str, ...], token: str) -> float:
        """Probability of `token` after `history`, of which only the end counts."""
        history = history[max(0, len(history) - self.order + 1) :]
        lower = self.prob(history[1:], token) if history else 1 / len(self.events)
        followers = self.followers.get(history)
        if followers is None:
            return lower
        discounts = self.methods[len(history)]
        counts = {follower: self.counts[(*history, follower)] for follower in followers}
        total = sum(counts.values()) + (len(counts) if discounts is None else 0)
        shares = {
            follower: (count - (discounts[min(count, 3)] if discounts else 0)) / total
            for follower, count in counts.items()
            if not history or self.seen[(*history, follower)] > self.thresholds[len(history)]
        }
        return shares.get(token, 0.0) + (1 - sum(shares.values())) * lower


def backoff_log_prob(
    entries: Mapping[tuple[str, ...], tuple[float, float]], history: tuple[str, ...], token: str
) -> float:
    """Apply the back-off rule to a dictionary of n-grams with their log-probabilities and back-off weights."""
    if (*history, token) in entries:
        return entries[(*history, token)][0]
    weight = entries[history][1] if history in entries else 0.0
    return weight + backoff_log_prob(entries, history[1:], token)


def random_waveforms(seed: int, count: int, sample_rate: int = 8000) -> list[np.ndarray]:
    """Draw noise of 0.2 to 1.5 s with tones in it, float32 on the 16-bit grid."""
    generator = np.random.default_rng(seed)
    waveforms = []
    for _ in range(count):
        time = np.arange(int(generator.integers(sample_rate // 5, sample_rate * 3 // 2))) / sample_rate
        tone = np.sin(2 * np.pi * generator.uniform(100, 3000) * time * (1 + time))
        samples = 0.2 * tone + 0.05 * generator.standard_normal(len(time))
        waveforms.append((np.round(samples * 32768) / 32768).astype(np.float32))
    return waveforms


def randomise(module: nn.Module, seed: int, scale: float = 0.3) -> None:
    """Add random numbers to all weights, so that outputs depend visibly on every input."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name == "output.bias":
                parameter.clamp_(max=0.3)  # no preference for blanks
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator).to(parameter.device))


def alignments_by_enumeration(frames: int, units: int) -> list[list[tuple[int, int]]]:
    """Return all alignments of a transducer as moves: for each unit the frame that writes it, a list of `(s, u)`."""
    places = itertools.combinations_with_replacement(range(frames), units)
    return [[(s, u) for u, s in enumerate(written)] for written in places]


def transducer_loss_by_enumeration(log_probs: np.ndarray, target: Sequence[int]) -> float:
    """Return -log of the summed probability of all alignments of `target`; `log_probs` is `(S, L + 1, V)`."""
    frames, total = len(log_probs), -math.inf
    for alignment in alignments_by_enumeration(frames, len(target)):
        written = [s for s, _ in alignment]
        score = sum(float(log_probs[s, u, target[u]]) for s, u in alignment)
        for s in range(frames):  # the blank of a frame comes after its units
            score += float(log_probs[s, sum(frame <= s for frame in written), 0])
        total = np.logaddexp(total, score)
    return -float(total)
