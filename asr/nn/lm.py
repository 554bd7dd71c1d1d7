"""The recurrent language model: token by token, the probabilities of the next."""

from collections.abc import Sequence

from torch import Tensor, nn

from asr.nn.rnn import Cell, SequenceDropout, State, recur, residual_layers


class LanguageModel(nn.Module):
    """Tokens -> log-probabilities of the token after each, by a stack of residual recurrent layers.

    Shapes: `(B, S)` int64 -> log-probabilities `(B, S, V)` in float32, and the state of each layer, from which the next
    call goes on: a sequence in parts gives what it gives as a whole. `V` is the number of tokens.

    With a `condition_size` of `C` numbers the model turns a vector into a sequence: a linear map of the vector is added
    to the embedding of every token, so that it is there wherever in a stream a sentence begins, and however it goes on.
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
        """`vectors` are one for all, `(C,)`, one for each sequence, `(B, C)`, or one for each token, `(B, S, C)`.

        Raises ValueError if they are missing, or if the model has no `condition_size`.
        """
        x = self.embedding(tokens)  # (B, S, H)
        if vectors is not None and self.condition is not None:
            x = x + self.condition(vectors[:, None] if vectors.ndim == 2 else vectors)
        elif vectors is not None:
            raise ValueError("the model has no condition_size, so it takes no vectors")
        elif self.condition is not None:
            raise ValueError(f"the model needs vectors of {self.condition.in_features} numbers")
        outputs, states = recur(self.dropout(x), self.layers, self.norms, self.dropout, states=states)
        return self.output(outputs).float().log_softmax(dim=-1), states
