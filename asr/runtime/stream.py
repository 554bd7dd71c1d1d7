"""A stream through an exported model: samples in chunks of any size, the log-probabilities of the whole recording."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asr.lengths import (
    hop_samples,
    num_frames,
    subsampled_length,
    subsampling_look_ahead,
    window_samples,
)
from asr.runtime.session import Session, damaged

_CONTEXT = 2  # encoder frames: a convolution sees the inputs of two outputs before, at any stride


@dataclass(slots=True)
class _Window:
    """A window that moves along a sequence: which of its outputs are complete, and which inputs later ones need."""

    stride: int
    context: int  # outputs whose inputs a later output sees
    look_ahead: int  # inputs after its centre that an output sees
    given: int = 0  # outputs of the kept inputs that were returned already

    def complete(self, inputs: int) -> int:
        """Return how many outputs so many inputs complete."""
        return max(self.given, (inputs - 1 - self.look_ahead) // self.stride + 1)

    def passed(self, complete: int) -> int:
        """Count `complete` outputs as given; return the number of inputs that no later output sees."""
        outputs = max(0, complete - self.context)
        self.given = complete - outputs
        return outputs * self.stride


@dataclass(slots=True)
class SessionStream:
    """Samples -> log-probabilities, or encoder states, each as soon as its last sample has come.

    `settings` are the sections `features` and `model` of the configuration of the model, which must be able to stream.
    """

    session: Session
    settings: Mapping[str, Mapping[str, Any]]
    _outputs: tuple[str, str] = field(init=False)
    _samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    _features: np.ndarray | None = None  # (1, P, F), that subsampling sees again
    _states: dict[str, np.ndarray] = field(default_factory=dict)
    _spectra: _Window = field(init=False)
    _frames: _Window = field(init=False)

    def __post_init__(self) -> None:
        decoded = "states" if self.settings["model"]["decoder"] == "transducer" else "log_probs"
        self._outputs = (decoded, "features")  # (1, S, D) or (1, S, V), and (1, T, F) of the new frames
        if missing := set(self._outputs) - set(self.session.outputs):
            raise damaged(f"a stream needs its output {min(missing)}")
        features, model = self.settings["features"], self.settings["model"]
        window, hop = (
            window_samples(features["sample_rate"], features["window_ms"]),
            hop_samples(features["sample_rate"], features["hop_ms"]),
        )
        factor = model["subsampling"]
        self._spectra = _Window(hop, -(-window // (2 * hop)), window // 2)
        self._frames = _Window(factor, _CONTEXT, subsampling_look_ahead(model["frontend"], factor))

    def feed(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray | None:
        """Take the next samples `(N,)`, float32 at the model's rate; return frames `(S, V)` or `(S, D)`, or None."""
        self._samples = np.concatenate([self._samples, samples])
        count = len(self._samples)
        if not count:
            return None
        spectra = num_frames(count, self._spectra.stride) if last else self._spectra.complete(count)
        past = 0 if self._features is None else self._features.shape[1]
        features = past + spectra - self._spectra.given
        frames = subsampled_length(features, self._frames.stride) if last else self._frames.complete(features)
        if frames <= self._frames.given:
            return None
        inputs = {
            "audio": self._samples[None],
            "lengths": np.array([count]),
            "spectra": np.array([self._spectra.given, spectra]),
            "new": np.array([self._frames.given, frames]),
            **self._states,
        }
        if self._features is not None:
            inputs["past"] = self._features
        found = self.session.run(inputs)
        if any(found[name].ndim != 3 or len(found[name]) != 1 for name in self._outputs):
            raise damaged(
                f"a part of a stream gives {', '.join(f'{name} {found[name].shape}' for name in self._outputs)}"
            )
        self._states = {name.removeprefix("next_"): value for name, value in found.items() if name.startswith("next_")}
        known = found["features"] if self._features is None else np.concatenate([self._features, found["features"]], 1)
        self._samples = self._samples[self._spectra.passed(spectra) :]
        self._features = known[:, self._frames.passed(frames) :]
        rows: np.ndarray = found[self._outputs[0]][0]
        return rows
