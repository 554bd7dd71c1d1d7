"""A session of ONNX Runtime on an exported model: waveforms in, log-probabilities out."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime

from asr.onnx_file import require_own_graph

_ERRORS_ONLY = 3  # severity: ONNX Runtime warns of inputs that have defaults, which only streams give


class Session:
    """An exported model that computes on the CPU."""

    def __init__(self, content: bytes, *, threads: int = 0) -> None:
        """Load the bytes of an exported file. `threads` of 0 are as many as the processor has cores.

        Raises ValueError for a file that holds anything that `asr export` does not write.
        """
        require_own_graph(content)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _ERRORS_ONLY
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute all outputs of the file, by name, from its inputs."""
        return dict(zip(self.outputs, self._session.run(self.outputs, dict(inputs)), strict=True))

    def log_probs(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Compute the log-probabilities of waveforms `(N,)` in one batch: `(S, V)` of units, or `(C,)` of classes."""
        lengths = np.array([len(waveform) for waveform in waveforms])
        audio = np.zeros((len(waveforms), lengths.max()), np.float32)
        for row, waveform in zip(audio, waveforms, strict=True):
            row[: len(waveform)] = waveform
        found = self.run({"audio": audio, "lengths": lengths})
        if "frames" not in found:
            return list(found["log_probs"])
        return [row[:count] for row, count in zip(found["log_probs"], found["frames"].tolist(), strict=True)]
