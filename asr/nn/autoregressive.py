"""The base of networks that write each unit given all units before it: attention decoder and transducer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from asr.nn.ctc import ctc_loss
from asr.nn.encoder import Encoder, begin_with_blank


class AutoregressiveModel(Encoder, ABC):
    """An encoder with a decoder, and optionally a CTC output: features and texts -> the loss of each text.

    Shapes: `(B, T, F)`, lengths `(B,)`, texts without ends -> `(B,)`, in nats: see `losses`. A positive `ctc_weight`
    adds the output layer of an `AcousticModel`. CTC makes the encoder learn from left to right (Watanabe et al. 2017,
    https://arxiv.org/abs/1609.06773).
    """

    def __init__(self, *, num_units: int, ctc_weight: float, **encoder: Any) -> None:
        """Build a network with fresh weights and without a decoder; `encoder` are the arguments of `Encoder`."""
        super().__init__(**encoder)
        self.ctc_weight = ctc_weight
        self.output = begin_with_blank(nn.Linear(self.size, num_units)) if ctc_weight else None

    def forward(self, features: Tensor, lengths: Tensor, texts: Sequence[Sequence[int]]) -> Tensor:
        return self.losses(*self.encode(features, lengths), texts)

    def losses(self, states: Tensor, lengths: Tensor, texts: Sequence[Sequence[int]]) -> Tensor:
        """Compute `ctc_weight * CTC + (1 - ctc_weight) * decoder` for each text, in nats: `(B,)`."""
        loss = self.decoder_losses(states, lengths, texts)
        if self.output is None:
            return loss
        return self.ctc_weight * ctc_loss(self.log_probs(states), lengths, texts) + (1 - self.ctc_weight) * loss

    @abstractmethod
    def decoder_losses(self, states: Tensor, lengths: Tensor, texts: Sequence[Sequence[int]]) -> Tensor:
        """Compute the loss of the decoder for each text, in nats, from encoder states `(B, S, D)`: `(B,)`."""

    def log_probs(self, states: Tensor) -> Tensor:
        """Compute CTC's log-probabilities `(B, S, V)` in float32 from encoder states `(B, S, D)`."""
        assert self.output is not None
        return self.output(states).float().log_softmax(dim=-1)
