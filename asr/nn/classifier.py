"""The network of a classifier: an encoder, the mean of its vectors, and log-probabilities of classes."""

from typing import Any

from torch import Tensor, nn

from asr.features import frame_mask
from asr.nn.encoder import Encoder


def mean_pool(x: Tensor, lengths: Tensor) -> Tensor:
    """Average each sequence over its real frames: `(B, S, D)`, lengths `(B,)` -> `(B, D)`; padding has no effect."""
    beyond = ~frame_mask(lengths, x.shape[1])[:, :, None]
    return x.float().masked_fill(beyond, 0.0).sum(1) / lengths[:, None]


class UtteranceClassifier(Encoder):
    """An encoder, its mean over time, and a linear output layer: features -> log-probabilities of utterance classes.

    Shapes: `(B, T, F)`, lengths `(B,)` -> log-probabilities `(B, C)` in float32, where `C` is the number of classes.
    Training and evaluation differ only in dropout.
    """

    def __init__(self, *, num_classes: int, **encoder: Any) -> None:
        """Build a network with fresh weights; `encoder` are the arguments of `Encoder`."""
        super().__init__(**encoder)
        self.output = nn.Linear(self.size, num_classes)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        pooled = mean_pool(*self.encode(features, lengths))  # (B, D)
        return self.output(pooled).float().log_softmax(dim=-1)
