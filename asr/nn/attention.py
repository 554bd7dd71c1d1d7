"""The attention decoder: encoder states -> the units of a text, one after the other, each given all previous units.

Attention: Bahdanau et al. 2014, https://arxiv.org/abs/1409.0473. Attention that knows its previous alignment: Chorowski
et al. 2015, https://arxiv.org/abs/1506.07503. Feeding the context to the next step: Luong et al. 2015,
https://arxiv.org/abs/1508.04025.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from asr.features import frame_mask
from asr.nn.autoregressive import AutoregressiveModel
from asr.nn.rnn import SequenceDropout
from asr.text import BLANK

END = BLANK  # an attention decoder has no blank; the index of blank begins and ends a text
SMOOTHING = 0.1  # share of label smoothing in training


class Memory(NamedTuple):
    """The encoder states that attention reads: `states (B, S, D)`, `keys (B, S, A)`, `mask (B, S)`, true on speech."""

    states: Tensor
    keys: Tensor
    mask: Tensor


class State(NamedTuple):
    """The decoder state after a unit: `hidden (B, K, H)`, `context (B, K, D)`, `alignment (B, K, S)`."""

    hidden: Tensor
    context: Tensor
    alignment: Tensor


class LocationAttention(nn.Module):
    """Location-aware attention: the softmax over frames of `w · tanh(W query + V key + U previous alignment)`.

    Shapes: query `(B, K, H)`, `Memory`, previous alignment `(B, K, S)` -> alignment `(B, K, S)` in float32. An
    alignment sums to 1 over the frames of the mask and is 0 elsewhere. U is a convolution of `channels` filters over
    `width` frames.
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
    """A GRU with attention: encoder states and previous units -> log-probabilities of the next unit.

    `K` texts of each utterance are computed in parallel. The log-probabilities of a text do not depend on its batch or
    on padding. Index 0 of `V` is the end of the text.
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
        """Compute log-probabilities of given texts (teacher forcing).

        `states` are `(B, S, D)`, `lengths (B,)`, and `units (B, K, M)` come from `pad_units`. Returns log-probabilities
        `(B, K, M, V)` in float32, and the alignment of each unit, `(B, K, M, S)`.
        """
        memory, state = self.remember(states, lengths), self.start(states, units.shape[1])
        before = torch.cat([torch.full_like(units[:, :, :1], END), units[:, :, :-1]], dim=2)
        embedded = self.dropout(self.embedding(before).flatten(0, 1)).unflatten(0, units.shape[:2])  # (B, K, M, H)
        outputs, alignments = [], []
        for step in range(units.shape[2]):
            state = self.advance(embedded[:, :, step], state, memory)
            outputs.append(torch.cat([state.hidden, state.context], dim=-1))
            alignments.append(state.alignment)
        readout = self.dropout(torch.stack(outputs, dim=2).flatten(0, 1)).unflatten(0, units.shape[:2])
        return self.output(readout).float().log_softmax(dim=-1), torch.stack(alignments, dim=2)

    def step(self, units: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Compute log-probabilities `(B, K, V)` of the next unit given the last units `(B, K)`; a step of `forward`."""
        state = self.advance(self.embedding(units), state, memory)
        logits = self.output(torch.cat([state.hidden, state.context], dim=-1))
        return logits.float().log_softmax(dim=-1), state

    def remember(self, states: Tensor, lengths: Tensor) -> Memory:
        """Prepare encoder states for attention. Frames of zeros contain no speech and are masked."""
        mask = frame_mask(lengths, states.shape[1]) & states.any(dim=-1)
        return Memory(states, self.attention.key(states), mask)

    def start(self, states: Tensor, texts: int) -> State:
        """Return the state before the first unit, for `texts` texts of each utterance."""
        batch, frames, size = states.shape
        return State(
            states.new_zeros(batch, texts, self.cell.hidden_size),
            states.new_zeros(batch, texts, size),
            torch.zeros(batch, texts, frames, device=states.device),
        )

    def advance(self, embedded: Tensor, state: State, memory: Memory) -> State:
        """Compute one step of the recurrence from the embedding `(B, K, H)` of the last units."""
        inputs = torch.cat([embedded, state.context], dim=-1)
        hidden = self.cell(inputs.flatten(0, 1), state.hidden.flatten(0, 1)).unflatten(0, embedded.shape[:2])
        alignment = self.attention(hidden, memory, state.alignment)
        return State(hidden, alignment.to(memory.states.dtype) @ memory.states, alignment)


def pad_units(texts: Sequence[Sequence[Sequence[int]]], device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Pad `K` texts of each utterance and add their ends: return units `(B, K, M)` and a mask, true on real units."""
    sizes = torch.tensor([[len(text) + 1 for text in row] for row in texts])
    mask = frame_mask(sizes.flatten(), int(sizes.max())).unflatten(0, sizes.shape)
    units = torch.full(mask.shape, END)
    units[mask] = torch.tensor([unit for row in texts for text in row for unit in (*text, END)])
    return units.to(device), mask.to(device)


def attention_loss(log_probs: Tensor, units: Tensor, mask: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Compute the negative log-likelihood of each text with its end, in nats: `(B, K)`.

    `log_probs` are `(B, K, M, V)`; `units` and `mask (B, K, M)` come from `pad_units`. `smoothing` is the share of each
    target that is spread evenly over all units (Szegedy et al. 2016).
    """
    exact = log_probs.gather(-1, units[..., None]).squeeze(-1)
    smoothed = (1 - smoothing) * exact + smoothing * log_probs.mean(dim=-1) if smoothing else exact
    return -(smoothed * mask).sum(dim=-1)


class EncoderDecoder(AutoregressiveModel):
    """An encoder with an attention decoder, and optionally a CTC output: features and texts -> the loss of each text.

    Shapes: see `AutoregressiveModel`.
    """

    def __init__(self, *, num_units: int, ctc_weight: float, hidden: int, dropout: float, **encoder: Any) -> None:
        """Build a network with fresh weights; `encoder` are the other arguments of `Encoder`."""
        super().__init__(num_units=num_units, ctc_weight=ctc_weight, hidden=hidden, dropout=dropout, **encoder)
        self.decoder = AttentionDecoder(num_units=num_units, state_size=self.size, hidden=hidden, dropout=dropout)

    def decoder_losses(self, states: Tensor, lengths: Tensor, texts: Sequence[Sequence[int]]) -> Tensor:
        """Compute the loss of each text with its end, in nats: `(B,)`. In training, the targets are smoothed."""
        units, mask = pad_units([[text] for text in texts], states.device)
        log_probs, _ = self.decoder(states, lengths, units)
        return attention_loss(log_probs, units, mask, smoothing=SMOOTHING if self.training else 0.0)[:, 0]
