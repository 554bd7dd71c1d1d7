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

        With a stated number of threads, the processor is shared with others: threads that wait do not compute.

        Raises ValueError for a file that holds anything that `asr export` does not write.
        """
        require_own_graph(content)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _ERRORS_ONLY
        if threads:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a class of errors for each status, without a base of its own
            raise ValueError(f"ONNX Runtime {onnxruntime.__version__} cannot load it: {error}") from None
        self.outputs = [output.name for output in self._session.get_outputs()]

    def require_outputs(self, units: int) -> None:
        """Raise ValueError unless the file computes log-probabilities of so many units, blank included."""
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        if shapes.get("log_probs", [None])[-1] != units or "frames" not in shapes:
            raise ValueError(f"it does not compute log-probabilities of {units} units")

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
