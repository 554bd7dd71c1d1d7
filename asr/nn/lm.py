"""The network of a recurrent language model: log-probabilities of the next token after each token."""

from collections.abc import Sequence

from torch import Tensor, nn

from asr.nn.rnn import Cell, SequenceDropout, State, recur, residual_layers


class LanguageModel(nn.Module):
    """A stack of residual recurrent layers: tokens -> log-probabilities of the token after each token.

    Shapes: `(B, S)` int64 -> log-probabilities `(B, S, V)` in float32, and the state of each layer. Pass the state to
    the next call to continue a sequence; parts give the log-probabilities of the whole. `V` is the number of tokens.

    With a `condition_size` of `C`, the model is conditioned on vectors of `C` numbers. A linear map of the vector is
    added to the embedding of every token, so that the vector counts at every position of a stream.
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
        self.layers, self.norms = residual_layers(
            input_size=hidden, cell=cell, bidirectional=False, hidden=hidden, layers=layers
        )
        self.dropout = SequenceDropout(dropout)
        self.output = nn.Linear(hidden, num_tokens)
        self.condition = nn.Linear(condition_size, hidden, bias=False) if condition_size else None

    def forward(
        self, tokens: Tensor, states: Sequence[State] | None = None, vectors: Tensor | None = None
    ) -> tuple[Tensor, list[State]]:
        """Compute log-probabilities `(B, S, V)` and the final state of each layer.

        `vectors` are `(C,)`, one for all sequences, `(B, C)`, one for each sequence, or `(B, S, C)`, one for each
        token. Raises ValueError if a conditioned model gets no vectors, or another model gets some.
        """
        x = self.embedding(tokens)  # (B, S, H)
        if vectors is not None and self.condition is not None:
            x = x + self.condition(vectors[:, None] if vectors.ndim == 2 else vectors)
        elif vectors is not None:
            raise ValueError("this model has no condition_size, so it accepts no vectors")
        elif self.condition is not None:
            raise ValueError(f"this model needs vectors of {self.condition.in_features} numbers, found none")
        outputs, states = recur(self.dropout(x), self.layers, self.norms, self.dropout, states=states)
        return self.output(outputs).float().log_softmax(dim=-1), states
