"""The network of pre-training: an encoder that reconstructs masked features."""

from typing import Any

from torch import Tensor, nn

from asr.features import frame_mask
from asr.nn.encoder import Encoder


class Reconstruction(Encoder):
    """An encoder with a linear output layer: masked features -> features.

    Shapes: `(B, T, F)`, lengths `(B,)` -> `(B, T, F)` in float32. Each vector of the encoder gives the feature frames
    that subsampling joined in it. Training and evaluation differ only in dropout.
    """

    def __init__(self, *, num_values: int, **encoder: Any) -> None:
        """Build a network with fresh weights.

        `num_values` is the number of features of one encoder frame, subsampling factor times `F`; `encoder` are the
        arguments of `Encoder`.
        """
        super().__init__(**encoder)
        self.output = nn.Linear(self.size, num_values)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        batch, size, bins = features.shape
        x, _ = self.encode(features, lengths)  # (B, S, D)
        return self.output(x).float().reshape(batch, -1, bins)[:, :size]  # (B, S, factor * F) -> (B, T, F)


def masked_error(found: Tensor, features: Tensor, hidden: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean squared error of each utterance over its masked values, `(B,)`; 0 for one without masked values.

    Shapes: `found`, `features` and the mask `hidden` are `(B, T, F)`, lengths `(B,)` in frames.
    """
    counted = hidden & frame_mask(lengths, features.shape[1])[:, :, None]
    errors = (found - features).square().masked_fill(~counted, 0.0).sum((1, 2))
    return errors / counted.sum((1, 2)).clamp_min(1)
