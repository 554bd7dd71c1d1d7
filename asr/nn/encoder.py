"""The encoder: convolutional subsampling and recurrent layers; the acoustic model: log-probabilities of units on it."""

from typing import Any

import torch
from torch import Tensor, nn

from asr.features import frame_mask
from asr.lengths import Count, subsampled_length
from asr.nn.rnn import Cell, RNNLayer, SequenceDropout, reversal_index

_TIME_STRIDES = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2)}


class ConvSubsampling(nn.Module):
    """Two 3 x 3 convolutions that divide time by `factor` and frequency by 4, then a projection.

    Shapes: `(B, T, F)`, lengths `(B,)` -> `(B, S, output_size)`, lengths `(B,)`. Frames beyond the lengths are
    set to zero before each convolution, so that the end of an utterance looks the same in every batch.
    """

    def __init__(self, *, num_bins: int, factor: int, channels: int, output_size: int) -> None:
        super().__init__()
        self.factor = factor
        self.strides = _TIME_STRIDES[factor]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, channels, kernel_size=3, stride=(stride, 2), padding=1)
            for inputs, stride in zip((1, channels), self.strides, strict=True)
        )
        self.projection = nn.Linear(channels * subsampled_length(num_bins, 4), output_size)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = x[:, None]  # (B, 1, T, F)
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            x = x * frame_mask(lengths, x.shape[2])[:, None, :, None]
            x = torch.relu(convolution(x))  # (B, C, ceil(T / stride), ceil(F / 2))
            lengths = subsampled_length(lengths, stride)
        return self.projection(x.transpose(1, 2).flatten(2)), lengths  # (B, S, C * F / 4) -> (B, S, D)


class Encoder(nn.Module):
    """What every model begins with: features -> one vector for each encoder frame, by residual recurrent layers.

    Models are encoders with something on top: they inherit, so that the encoder's parameters have the same names in
    every model file, and call `encode`. The same in training and evaluation, except for dropout. An utterance gets
    the same vectors alone, in any batch, at any padding; what stands beyond its length is arbitrary.

    Each layer computes `x + dropout(rnn(layer_norm(x)))`; normalising before the layer keeps gradients of equal
    size through the stack (Xiong et al. 2020, https://arxiv.org/abs/2002.04745).
    """

    def __init__(
        self,
        *,
        num_bins: int,
        subsampling: int = 4,
        channels: int = 32,
        cell: Cell = "lstm",
        bidirectional: bool = True,
        hidden: int = 320,
        layers: int = 3,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.size = size = hidden * (2 if bidirectional else 1)
        self.subsampling = ConvSubsampling(num_bins=num_bins, factor=subsampling, channels=channels, output_size=size)
        self.layers = nn.ModuleList(
            RNNLayer(input_size=size, hidden_size=hidden, cell=cell, bidirectional=bidirectional) for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(layers + 1))
        self.dropout = SequenceDropout(dropout)

    def num_output_frames(self, num_frames: Count) -> Count:
        """Encoder frames of `num_frames` feature frames."""
        return subsampled_length(num_frames, self.subsampling.factor)

    def encode(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, T, F)`, lengths `(B,)` -> `(B, S, D)`, where `D` is `size`, and lengths `(B,)`."""
        x, lengths = self.subsampling(features, lengths)  # (B, S, D)
        index = reversal_index(lengths, x.shape[1])
        x = self.dropout(x)
        for norm, layer in zip(self.norms, self.layers):  # noqa: B905 - the last norm is the output's
            x = x + self.dropout(layer(norm(x), index))
        return self.norms[-1](x), lengths


class AcousticModel(Encoder):
    """Features -> log-probabilities of units: an encoder with a linear output layer.

    Shapes: `(B, T, F)`, lengths `(B,)` -> log-probabilities `(B, S, V)` in float32, lengths `(B,)`; index 0 of
    `V` is blank.
    """

    def __init__(self, *, num_units: int, **encoder: Any) -> None:
        """`encoder` holds the arguments of `Encoder`."""
        super().__init__(**encoder)
        self.output = nn.Linear(self.size, num_units)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x, lengths = self.encode(features, lengths)
        return self.output(x).float().log_softmax(dim=-1), lengths
