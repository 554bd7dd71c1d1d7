"""The attention decoder: encoder states -> units one after the other, each given those before it.

Attention: Bahdanau et al. 2014, https://arxiv.org/abs/1409.0473; that knows where it looked before: Chorowski et al.
2015, https://arxiv.org/abs/1506.07503. What was attended to is fed back: Luong et al. 2015,
https://arxiv.org/abs/1508.04025.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from asr.features import frame_mask
from asr.nn.ctc import ctc_loss
from asr.nn.encoder import Encoder, begin_with_blank
from asr.nn.rnn import SequenceDropout
from asr.text import BLANK

END = BLANK  # an attention decoder has no blanks: their index begins and ends a text
SMOOTHING = 0.1  # in training


class Memory(NamedTuple):
    """What is attended to: `states (B, S, D)`, `keys (B, S, A)`, and `mask (B, S)`, true where there is something."""

    states: Tensor
    keys: Tensor
    mask: Tensor


class State(NamedTuple):
    """What is carried from unit to unit: `hidden (B, K, H)`, `context (B, K, D)`, `alignment (B, K, S)`."""

    hidden: Tensor
    context: Tensor
    alignment: Tensor


class LocationAttention(nn.Module):
    """How much of each frame the next unit is made of: `w · tanh(W query + V key + U alignment before)`, normalised.

    Shapes: query `(B, K, H)`, `Memory`, alignment before `(B, K, S)` -> alignment `(B, K, S)`, in float32; it sums to
    1 over the frames of the mask and is 0 elsewhere. U is a convolution of `channels` filters over `width` frames.
    """

    def __init__(self, *, query_size: int, state_size: int, size: int, channels: int = 10, width: int = 31) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, size)
        self.key = nn.Linear(state_size, size, bias=False)
        self.filters = nn.Conv1d(1, channels, width, padding=width // 2, bias=False)
        self.location = nn.Linear(channels, size, bias=False)
        self.energy = nn.Linear(size, 1, bias=False)

    def forward(self, query: Tensor, memory: Memory, alignment: Tensor) -> Tensor:
        filtered = self.filters(alignment.flatten(0, 1)[:, None])  # (B * K, channels, S)
        location = self.location(filtered.transpose(1, 2)).unflatten(0, alignment.shape[:2])  # (B, K, S, A)
        energies = self.energy(torch.tanh(self.query(query)[:, :, None] + memory.keys[:, None] + location))
        masked = energies.squeeze(-1).float().masked_fill(~memory.mask[:, None], torch.finfo(torch.float32).min)
        return masked.softmax(dim=-1) * memory.mask[:, None]


class AttentionDecoder(nn.Module):
    """Log-probabilities of each unit of a text given encoder states and the units before it, by a GRU that attends.

    `K` texts of each utterance are computed side by side, and each alone, in any batch, at any padding gets the same
    log-probabilities. Index 0 of `V` is the end of the text.
    """

    def __init__(
        self, *, num_units: int, state_size: int, hidden: int = 320, attention: int = 128, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_units, hidden)
        self.cell = nn.GRUCell(hidden + state_size, hidden)
        self.attention = LocationAttention(query_size=hidden, state_size=state_size, size=attention)
        self.dropout = SequenceDropout(dropout)
        self.output = nn.Linear(hidden + state_size, num_units)

    def forward(self, states: Tensor, lengths: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing: states `(B, S, D)`, lengths `(B,)`, `units (B, K, M)` as `pad_units` gives them.

        Returns log-probabilities `(B, K, M, V)` in float32, and the alignment of each unit `(B, K, M, S)`.
        """
        memory, state = self.remember(states, lengths), self.start(states, units.shape[1])
        before = torch.cat([torch.full_like(units[:, :, :1], END), units[:, :, :-1]], dim=2)
        embedded = self.dropout(self.embedding(before).flatten(0, 1)).unflatten(0, units.shape[:2])  # (B, K, M, H)
        heard, alignments = [], []
        for step in range(units.shape[2]):
            state = self.advance(embedded[:, :, step], state, memory)
            heard.append(torch.cat([state.hidden, state.context], dim=-1))
            alignments.append(state.alignment)
        readout = self.dropout(torch.stack(heard, dim=2).flatten(0, 1)).unflatten(0, units.shape[:2])
        return self.output(readout).float().log_softmax(dim=-1), torch.stack(alignments, dim=2)

    def step(self, units: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """The last `units (B, K)` -> log-probabilities of the next `(B, K, V)`; what `forward` does, one at a time."""
        state = self.advance(self.embedding(units), state, memory)
        logits = self.output(torch.cat([state.hidden, state.context], dim=-1))
        return logits.float().log_softmax(dim=-1), state

    def remember(self, states: Tensor, lengths: Tensor) -> Memory:
        """Encoder states as they are attended to. Frames of nothing but zeros are those in which nothing is said."""
        mask = frame_mask(lengths, states.shape[1]) & states.any(dim=-1)
        return Memory(states, self.attention.key(states), mask)

    def start(self, states: Tensor, texts: int) -> State:
        """The state before the first unit of `texts` texts an utterance."""
        batch, frames, size = states.shape
        return State(
            states.new_zeros(batch, texts, self.cell.hidden_size),
            states.new_zeros(batch, texts, size),
            torch.zeros(batch, texts, frames, device=states.device),
        )

    def advance(self, embedded: Tensor, state: State, memory: Memory) -> State:
        """One step of the recurrence, given the embedding `(B, K, H)` of the last units."""
        inputs = torch.cat([embedded, state.context], dim=-1)
        hidden = self.cell(inputs.flatten(0, 1), state.hidden.flatten(0, 1)).unflatten(0, embedded.shape[:2])
        alignment = self.attention(hidden, memory, state.alignment)
        return State(hidden, alignment.to(memory.states.dtype) @ memory.states, alignment)


def pad_units(texts: Sequence[Sequence[Sequence[int]]], device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """`K` texts of each utterance, ends added -> units `(B, K, M)`, and what of it counts, bool of the same shape."""
    sizes = torch.tensor([[len(text) + 1 for text in row] for row in texts])
    mask = frame_mask(sizes.flatten(), int(sizes.max())).unflatten(0, sizes.shape)
    units = torch.full(mask.shape, END)
    units[mask] = torch.tensor([unit for row in texts for text in row for unit in (*text, END)])
    return units.to(device), mask.to(device)


def attention_loss(log_probs: Tensor, units: Tensor, mask: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Negative log-likelihood of each text and its end, in nats, `(B, K)`: `log_probs (B, K, M, V)` of `pad_units`.

    `smoothing` is the share of a target that is spread evenly over all units (Szegedy et al. 2016).
    """
    exact = log_probs.gather(-1, units[..., None]).squeeze(-1)
    smoothed = (1 - smoothing) * exact + smoothing * log_probs.mean(dim=-1) if smoothing else exact
    return -(smoothed * mask).sum(dim=-1)


class EncoderDecoder(Encoder):
    """Features and texts -> how far each text is from being expected: an encoder with an attention decoder.

    Shapes: `(B, T, F)`, lengths `(B,)`, texts without ends -> `(B,)`, in nats: see `losses`. A positive `ctc_weight`
    adds the output layer of an `AcousticModel`, which makes the encoder learn from left to right (Watanabe et al. 2017,
    https://arxiv.org/abs/1609.06773).
    """

    def __init__(self, *, num_units: int, ctc_weight: float, hidden: int, dropout: float, **encoder: Any) -> None:
        """`encoder` holds the other arguments of `Encoder`."""
        super().__init__(hidden=hidden, dropout=dropout, **encoder)
        self.ctc_weight = ctc_weight
        self.output = begin_with_blank(nn.Linear(self.size, num_units)) if ctc_weight else None
        self.decoder = AttentionDecoder(num_units=num_units, state_size=self.size, hidden=hidden, dropout=dropout)

    def forward(self, features: Tensor, lengths: Tensor, texts: Sequence[Sequence[int]]) -> Tensor:
        return self.losses(*self.encode(features, lengths), texts)

    def losses(self, states: Tensor, lengths: Tensor, texts: Sequence[Sequence[int]]) -> Tensor:
        """`ctc_weight * CTC + (1 - ctc_weight) * attention`, nats of each text; in training with smoothed targets."""
        units, mask = pad_units([[text] for text in texts], states.device)
        log_probs, _ = self.decoder(states, lengths, units)
        loss = attention_loss(log_probs, units, mask, smoothing=SMOOTHING if self.training else 0.0)[:, 0]
        if self.output is None:
            return loss
        return self.ctc_weight * ctc_loss(self.log_probs(states), lengths, texts) + (1 - self.ctc_weight) * loss

    def log_probs(self, states: Tensor) -> Tensor:
        """Encoder states `(B, S, D)` -> CTC's log-probabilities `(B, S, V)` in float32, as of an `AcousticModel`."""
        assert self.output is not None
        return self.output(states).float().log_softmax(dim=-1)
