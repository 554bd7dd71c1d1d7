"""A session of ONNX Runtime on an exported model: waveforms in, log-probabilities out."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime

from asr.errors import AsrError, ModelFileError
from asr.onnx_file import require_own_graph

_ERRORS_ONLY = 3  # severity: ONNX Runtime warns of inputs that have defaults, which only streams give


class Session:
    """An exported model that computes on the CPU."""

    def __init__(self, content: bytes, *, threads: int = 0) -> None:
        """Load the bytes of an exported file. `threads` of 0 are those of OMP_NUM_THREADS, or else one a core.

        With a stated number of threads, the processor is shared with others: threads that wait do not compute.

        Raises ValueError for a file that holds anything that `asr export` does not write.
        """
        require_own_graph(content)
        stated = os.environ.get("OMP_NUM_THREADS", "")  # PyTorch obeys it too
        threads = threads or (int(stated) if stated.isdecimal() else 0)
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

    def require_outputs(
        self, *, units: int | None = None, classes: int | None = None, states: int | None = None
    ) -> None:
        """Raise ValueError unless the file computes log-probabilities of so many units, blank included, or classes.

        For a transducer it must also compute encoder states of the size `states`.
        """
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        axes, size, name = (3, units, "units") if classes is None else (2, classes, "classes")
        found = shapes.get("log_probs", ())
        if len(found) != axes or found[-1] != size or ("frames" in shapes) != (classes is None):
            raise ValueError(f"it does not compute log-probabilities of {size} {name}")
        if states is not None and list(shapes.get("states", ()))[2:] != [states]:
            raise ValueError(f"it does not compute encoder states of {states} numbers")

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute all outputs of the file, by name, from its inputs. Raises ModelFileError for a damaged file."""
        try:
            return dict(zip(self.outputs, self._session.run(self.outputs, dict(inputs)), strict=True))
        except Exception as error:  # ONNX Runtime has a class for each status, and none for a full memory
            if "alloc" in str(error).lower():
                raise AsrError(
                    "there is not enough memory to compute with the exported model; give less at once, or close other "
                    "programs"
                ) from None
            raise damaged(f"ONNX Runtime says {' '.join(str(error).split()):.300}") from None

    def log_probs(self, waveforms: Sequence[np.ndarray], output: str = "log_probs") -> list[np.ndarray]:
        """Compute the log-probabilities of waveforms `(N,)` in one batch: `(S, V)` of units, or `(C,)` of classes.

        The `output` `states` are the encoder states `(S, D)` of a transducer. Raises ModelFileError for a damaged file.
        """
        lengths = np.array([len(waveform) for waveform in waveforms])
        audio = np.zeros((len(waveforms), lengths.max()), np.float32)
        for row, waveform in zip(audio, waveforms, strict=True):
            row[: len(waveform)] = waveform
        found = self.run({"audio": audio, "lengths": lengths})
        log_probs, frames = found[output], found.get("frames")
        axes = 2 if frames is None else 3
        if log_probs.ndim != axes or log_probs.dtype != np.float32 or len(log_probs) != len(waveforms):
            raise damaged(f"its log-probabilities are {log_probs.dtype} of shape {log_probs.shape}")
        if frames is None:
            return list(log_probs)
        if frames.shape != lengths.shape or (frames < 0).any() or (frames > log_probs.shape[1]).any():
            raise damaged(f"its numbers of frames are {frames.tolist()!s:.100}")
        return [row[:count] for row, count in zip(log_probs, frames.tolist(), strict=True)]


def damaged(reason: str) -> ModelFileError:
    """Return the error of an exported file that fails while it computes."""
    return ModelFileError(f"the exported model is damaged, it cannot compute: {reason}; export it again")
