"""The recurrent language model: token by token, the probabilities of the next."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asr.nn.rnn import Cell, SequenceDropout, State, recur, residual_layers


class LanguageModel(nn.Module):
    """Tokens -> log-probabilities of the token after each, by a stack of residual recurrent layers.

    Shapes: `(B, S)` int64 -> log-probabilities `(B, S, V)` in float32, and the state of each layer, from which the next
    call goes on: a sequence in parts gives what it gives as a whole. `V` is the number of tokens.

    With a `condition_size` of `C` numbers the model can turn a vector into a sequence: `begin` makes states of it.
    """

    def __init__(
        self,
        *,
        num_tokens: int,
        cell: Cell = "lstm",
        hidden: int = 256,
        layers: int = 1,
        dropout: float = 0.2,
        condition_size: int = 0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, hidden)
        self.layers, self.norms = residual_layers(cell=cell, bidirectional=False, hidden=hidden, layers=layers)
        self.dropout = SequenceDropout(dropout)
        self.output = nn.Linear(hidden, num_tokens)
        self.condition = nn.Linear(condition_size, layers * hidden) if condition_size else None

    def forward(self, tokens: Tensor, states: Sequence[State] | None = None) -> tuple[Tensor, list[State]]:
        outputs, states = recur(self.embedding(tokens), self.layers, self.norms, self.dropout, states=states)
        return self.output(outputs).float().log_softmax(dim=-1), states

    def begin(self, vectors: Tensor) -> list[State]:
        """States that make sequences depend on `vectors (B, C)`: a linear map of them, and empty LSTM memories."""
        if self.condition is None:
            raise ValueError("the model has no condition_size, so it takes no vector")
        hidden = (
            self.condition(vectors).unflatten(-1, (len(self.layers), -1)).transpose(0, 1)[:, None]
        )  # (layers, 1, B, H)
        is_lstm = isinstance(self.layers[0].forward_rnn, nn.LSTM)
        return [(h, torch.zeros_like(h)) if is_lstm else h for h in hidden.contiguous()]
