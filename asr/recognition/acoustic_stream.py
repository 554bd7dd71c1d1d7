"""The stream through a network in PyTorch: samples in chunks of any size, the same frames as offline.

Each stage remembers what it needs: spectra and subsampling remember the last window of their input, the running level
its sums, the recurrent layers their states. The output does not depend on the sizes of chunks.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from asr.features import Spectrogram
from asr.finite import require_numbers
from asr.nn.encoder import AcousticModel
from asr.nn.rnn import State
from asr.recognition.latency import require_streamable


class StreamingModel(Protocol):
    """The parts of a recogniser that a stream feeds one after the other."""

    features: Spectrogram
    acoustic_model: Any

    @property
    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the sections of the configuration."""

    @property
    def device(self) -> torch.device:
        """The device of the network."""


class Windowed:
    """A function of a window that moves along a sequence, whose input comes in parts.

    Output `s` is centred on input `s * stride`. It sees at most `look_ahead` inputs after its centre, and the inputs
    of `context` outputs before it. Beyond the ends of the sequence the function pads by itself.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], *, stride: int, context: int, look_ahead: int) -> None:
        self.function = function
        self.stride, self.context, self.look_ahead = stride, context, look_ahead
        self._inputs: Tensor | None = None  # the inputs that later outputs can see
        self._given = 0  # outputs of these inputs that were returned already

    def feed(self, part: Tensor | None, *, last: bool = False) -> Tensor | None:
        """Return the outputs that `part` completes, or with `last` all outputs that are left; None if there is none.

        `part` has any length; None is no input.
        """
        if part is not None:
            self._inputs = part if self._inputs is None else torch.cat([self._inputs, part])
        if self._inputs is None:
            return None
        complete = (len(self._inputs) - 1 - self.look_ahead) // self.stride + 1
        if not last and complete <= self._given:
            return None
        outputs = self.function(self._inputs)[self._given : None if last else complete]
        passed = max(0, complete - self.context)
        self._inputs, self._given = self._inputs[passed * self.stride :], complete - passed
        return outputs


class NetworkStream:
    """Samples -> the frames of `Recognizer.frames`, each as soon as its last sample has come."""

    def __init__(self, model: StreamingModel) -> None:
        """Raise ConfigError for a model that needs whole utterances."""
        require_streamable(model.settings)
        self.network = model.acoustic_model.eval()
        self.model = model
        features, subsampling = model.features, self.network.subsampling
        self._spectra = Windowed(
            lambda samples: features.log_spectrum(samples[None])[0],
            stride=features.hop,
            context=-(-features.window // (2 * features.hop)),
            look_ahead=features.window // 2,
        )
        self._frames = Windowed(
            lambda frames: subsampling(frames[None], torch.tensor([len(frames)], device=frames.device))[0][0],
            stride=subsampling.factor,
            context=2,  # outputs: a convolution sees the inputs of two outputs before, at any stride
            look_ahead=subsampling.look_ahead,
        )
        self._level: Tensor | None = None
        self._states: list[State] | None = None

    @torch.inference_mode()
    def feed(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray | None:
        """Take the next samples `(N,)`, float32 at the model's rate; return frames `(S, V)` or `(S, D)`, or None."""
        features = self.model.features
        part = torch.from_numpy(samples).to(self.model.device) if len(samples) else None
        spectra = self._spectra.feed(part, last=last)
        if spectra is not None:
            spectra, self._level = features.running_level(spectra[None], self._level)
            spectra = features.normalize_bins(spectra)[0]
        frames = self._frames.feed(spectra, last=last)
        if frames is None or not len(frames):
            return None
        vectors, self._states = self.network.recur(frames[None], states=self._states)
        if isinstance(self.network, AcousticModel):
            vectors = self.network.log_probs(vectors)
        require_numbers(vectors)
        rows: np.ndarray = vectors[0].cpu().numpy()
        return rows
