"""The utterance classifier: a sequence of vectors -> one vector -> log-probabilities of classes."""

from typing import Any

from torch import Tensor, nn

from asr.features import frame_mask
from asr.nn.encoder import Encoder


def mean_pool(x: Tensor, lengths: Tensor) -> Tensor:
    """The mean over the real frames of each sequence, whatever stands beyond them: `(B, S, D)`, `(B,)` -> `(B, D)`."""
    beyond = ~frame_mask(lengths, x.shape[1])[:, :, None]
    return x.float().masked_fill(beyond, 0.0).sum(1) / lengths[:, None]


class UtteranceClassifier(Encoder):
    """Features -> log-probabilities of the classes of whole utterances: an encoder, its mean, a linear output layer.

    Shapes: `(B, T, F)`, lengths `(B,)` -> log-probabilities `(B, C)` in float32, where `C` is the number of classes.
    The same in training and evaluation, except for dropout.
    """

    def __init__(self, *, num_classes: int, **encoder: Any) -> None:
        """`encoder` holds the arguments of `Encoder`."""
        super().__init__(**encoder)
        self.output = nn.Linear(self.size, num_classes)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        pooled = mean_pool(*self.encode(features, lengths))  # (B, D)
        return self.output(pooled).float().log_softmax(dim=-1)
