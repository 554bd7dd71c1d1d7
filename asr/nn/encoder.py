"""The encoder, which is subsampling and recurrent layers, and the acoustic model, an encoder with a CTC output."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from asr.features import frame_mask
from asr.lengths import Count, subsampled_length, subsampling_look_ahead, time_strides
from asr.nn.rnn import Cell, FrameDropout, Kernels, SequenceDropout, State, recur, residual_layers
from asr.text import BLANK

Frontend = Literal["conv", "stack"]
DropoutMask = Literal["utterance", "frame"]
_BLANK_BIAS = 4.0  # nats; the units get 0 on average


class ConvSubsampling(nn.Module):
    """Two 3 x 3 convolutions that divide time by `factor` and frequency by 4, and an optional projection.

    Shapes: `(B, T, F)`, lengths `(B,)` -> `(B, S, output_size)`, lengths `(B,)`. Without a projection, `output_size` is
    the size of the convolutions' output. Frames beyond the lengths are set to zero before each convolution, so that
    padding never changes the end of an utterance.
    """

    def __init__(self, *, num_bins: int, factor: int, channels: int, projection: int | None = None) -> None:
        super().__init__()
        self.factor = factor
        self.strides = time_strides(factor)
        self.look_ahead = subsampling_look_ahead("conv", factor)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, channels, kernel_size=3, stride=(stride, 2), padding=1)
            for inputs, stride in zip((1, channels), self.strides, strict=True)
        )
        self.projection, self.output_size = _projection(channels * subsampled_length(num_bins, 4), projection)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.convolutions
        x = first((x * frame_mask(lengths, x.shape[1])[:, :, None])[:, None])  # (B, 1, T, F) -> (B, C, T', F / 2)
        lengths = subsampled_length(lengths, self.strides[0])
        x = second(x.mul_(frame_mask(lengths, x.shape[2])[:, None, :, None]).relu_())  # (B, C, S, F / 4)
        lengths = subsampled_length(lengths, self.strides[1])
        return self.projection(x.transpose(1, 2).flatten(2).relu_()), lengths  # (B, S, C * F / 4) -> (B, S, D)


class FrameStacking(nn.Module):
    """Subsampling without convolution: concatenates `factor` neighbouring frames.

    Shapes and projection are as in `ConvSubsampling`.
    """

    def __init__(self, *, num_bins: int, factor: int, projection: int | None = None) -> None:
        super().__init__()
        self.factor = factor
        self.look_ahead = subsampling_look_ahead("stack", factor)
        self.projection, self.output_size = _projection(factor * num_bins, projection)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = x * frame_mask(lengths, x.shape[1])[:, :, None]
        x = nn.functional.pad(x, (0, 0, 0, -x.shape[1] % self.factor))
        x = x.reshape(len(x), -1, self.factor * x.shape[2])  # (B, T, F) -> (B, S, factor * F)
        return self.projection(x), subsampled_length(lengths, self.factor)


def _projection(size: int, projection: int | None) -> tuple[nn.Module, int]:
    """Build a linear layer from `size` to `projection` numbers, or no layer; also return the size of its output."""
    return (nn.Identity(), size) if projection is None else (nn.Linear(size, projection), projection)


class Encoder(nn.Module):
    """The base of all speech networks: features -> one vector for each encoder frame, by residual recurrent layers.

    Networks inherit from it and call `encode`, so the encoder's parameters have equal names in every model file.
    Training and evaluation differ only in dropout. The vectors of an utterance do not depend on its batch or on
    padding; vectors beyond its length are arbitrary.
    """

    def __init__(
        self,
        *,
        num_bins: int,
        frontend: Frontend = "conv",
        subsampling: int = 3,
        channels: int = 32,
        projection: bool = False,
        cell: Cell = "lstm",
        bidirectional: bool = True,
        hidden: int = 320,
        layers: int = 3,
        dropout: float = 0.2,
        dropout_mask: DropoutMask = "frame",
        kernels: Kernels = "auto",
    ) -> None:
        """Build an encoder with fresh weights.

        `dropout_mask="frame"` draws a mask for each frame after each layer. `"utterance"` draws one mask for all frames
        of an utterance, after each layer and for the inputs of the first. `kernels` is passed to each RNNLayer.
        """
        super().__init__()
        self.size = size = hidden * (2 if bidirectional else 1)
        projected = size if projection else None
        self.subsampling: ConvSubsampling | FrameStacking = (
            ConvSubsampling(num_bins=num_bins, factor=subsampling, channels=channels, projection=projected)
            if frontend == "conv"
            else FrameStacking(num_bins=num_bins, factor=subsampling, projection=projected)
        )
        self.layers, self.norms = residual_layers(
            input_size=self.subsampling.output_size,
            cell=cell,
            bidirectional=bidirectional,
            hidden=hidden,
            layers=layers,
            kernels=kernels,
        )
        by_utterance = dropout_mask == "utterance"
        self.dropout = SequenceDropout(dropout) if by_utterance else FrameDropout(dropout)
        self.input_dropout = self.dropout if by_utterance else nn.Identity()

    def num_output_frames(self, num_frames: Count) -> Count:
        """Return the number of encoder frames for `num_frames` feature frames."""
        return subsampled_length(num_frames, self.subsampling.factor)

    def encode(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode features `(B, T, F)`, lengths `(B,)`: return vectors `(B, S, D)`, where `D` is `size`, and lengths."""
        x, lengths = self.subsampling(features, lengths)  # (B, S, D)
        x, _ = self.recur(x, lengths)
        return x, lengths

    def recur(
        self, x: Tensor, lengths: Tensor | None = None, states: Sequence[State] | None = None
    ) -> tuple[Tensor, list[State]]:
        """Compute vectors `(B, S, D)` of subsampled frames `(B, S, D)`, and the final state of each layer.

        `states` replace the zeros at the start of the sequence, as in `RNNLayer`. Two directions need `lengths (B,)`.
        """
        return recur(self.input_dropout(x), self.layers, self.norms, self.dropout, lengths=lengths, states=states)


def begin_with_blank(output: nn.Linear) -> nn.Linear:
    """Set the bias of a CTC output layer so that an untrained model predicts blank in nearly every frame.

    Learning starts earlier this way. With a random bias, a model trained on little data may use a unit in place of
    blank and never recover (docs/accuracy.md).
    """
    with torch.no_grad():
        output.bias[BLANK] = _BLANK_BIAS
    return output


class AcousticModel(Encoder):
    """The network of a CTC recogniser, an encoder with a linear output layer: features -> log-probabilities of units.

    Shapes: `(B, T, F)`, lengths `(B,)` -> log-probabilities `(B, S, V)` in float32, lengths `(B,)`; index 0 of
    `V` is blank.
    """

    def __init__(self, *, num_units: int, **encoder: Any) -> None:
        """Build a network with fresh weights; `encoder` are the arguments of `Encoder`."""
        super().__init__(**encoder)
        self.output = begin_with_blank(nn.Linear(self.size, num_units))

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x, lengths = self.encode(features, lengths)
        return self.log_probs(x), lengths

    def log_probs(self, states: Tensor) -> Tensor:
        """Compute log-probabilities `(B, S, V)` in float32 from encoder states `(B, S, D)`."""
        return self.output(states).float().log_softmax(dim=-1)
