"""An exported recogniser: the transcripts of `Recognizer`, computed by ONNX Runtime."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from asr.batching import read_batches
from asr.config import Config
from asr.finite import require_numbers
from asr.lengths import hop_samples, num_frames, subsampled_length
from asr.model_file import CTC_PREFIX, TRANSDUCER_PREFIX
from asr.recognition.latency import require_streamable
from asr.recognition.steady import blank, is_steady
from asr.recognition.transcriber import DECODER_PREFIX, Transcriber
from asr.runtime.exported import read_tensors, reading
from asr.runtime.session import Session, damaged
from asr.runtime.stream import SessionStream
from asr.text import Units

if TYPE_CHECKING:
    from asr.decoding.transducer import JointNetwork  # imports numba, which best path does not need


class ExportedRecognizer(Transcriber):
    """A recogniser that `asr export` wrote. It transcribes and aligns as the model does that it was exported from."""

    def __init__(self, session: Session, config: Config, units: Units) -> None:
        """Join a session and the settings of its model."""
        self.session = session
        self.config = config
        self.units = units
        self.normalizer = config.text.normalizer

    @classmethod
    def load(cls, path: str | Path, *, threads: int = 0) -> Self:
        """Load an exported file. Nothing in it but its operators is executed.

        `threads` of 0 are those of OMP_NUM_THREADS, or else one a core.

        Raises ModelFileError that names the file if it is missing, damaged, of another task or of another program.
        """
        path = Path(path)
        with reading(path, "recognition") as metadata:
            config = Config.model_validate(metadata["config"])
            units = Units(metadata["units"], config.text.units)
            session = Session(path.read_bytes(), threads=threads)
            recognizer = cls(session, config, units)
            tensors = read_tensors(path)
            recognizer._require_outputs(tensors)
            recognizer.restore(_of(DECODER_PREFIX, tensors), metadata)
        return recognizer

    def __repr__(self) -> str:
        model = self.config.model
        return (
            f"<{type(self).__name__}: {len(self.units.symbols)} units, {self.sample_rate} Hz, {model.layers} x "
            f"{model.hidden} {'bidirectional ' if model.bidirectional else ''}{model.cell}>"
        )

    @property
    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        return self.config.model_dump()

    @property
    def sample_rate(self) -> int:
        return self.config.features.sample_rate

    @property
    def stride(self) -> int:
        return hop_samples(self.sample_rate, self.config.features.hop_ms) * self.config.model.subsampling

    def num_output_frames(self, num_samples: int) -> int:
        hop = hop_samples(self.sample_rate, self.config.features.hop_ms)
        return subsampled_length(num_frames(num_samples, hop), self.config.model.subsampling)

    def _require_outputs(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Keep the networks of a transducer. Raises ValueError unless file and tensors are those of the settings."""
        if not self.is_transducer:
            self.session.require_outputs(units=len(self.units))
            return
        from asr.decoding.transducer import require_transducer
        from asr.lm.arrays import require_arrays

        model, num_units = self.config.model, len(self.units)
        size = model.hidden * (2 if model.bidirectional else 1)
        self.session.require_outputs(units=num_units, states=size)
        self._transducer, self._ctc = _of(TRANSDUCER_PREFIX, tensors), _of(CTC_PREFIX, tensors)
        require_transducer(self._transducer, model.cell, num_units=num_units, hidden=model.hidden, state_size=size)
        require_arrays({"weight": (num_units, size), "bias": (num_units,)}, self._ctc)

    def joint_network(self) -> "JointNetwork":
        from asr.decoding.transducer import build_joint

        return build_joint(self._transducer, self.config.model.cell)

    def unit_rows(self, frames: np.ndarray) -> np.ndarray:
        if not self.is_transducer:
            return frames
        logits = frames @ self._ctc["weight"].T + self._ctc["bias"]
        highest = logits.max(axis=1, keepdims=True)
        log_probs: np.ndarray = logits - (highest + np.log(np.exp(logits - highest).sum(axis=1, keepdims=True)))
        log_probs[~frames.any(axis=1)] = blank(1, len(self.units))
        return log_probs

    def acoustic_stream(self) -> SessionStream:
        require_streamable(self.settings)
        return SessionStream(self.session, self.settings)

    @property
    def _output(self) -> str:
        """The output that the model decodes."""
        return "states" if self.is_transducer else "log_probs"

    def frame_rows(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], list[np.ndarray]]]:
        for indices, waveforms in read_batches(num_samples, read, sample_rate=self.sample_rate):
            rows = self.session.log_probs(waveforms, self._output)
            for number, (row, waveform) in enumerate(zip(rows, waveforms, strict=True)):
                require_numbers(row)
                if len(row) != (expected := self.num_output_frames(len(waveform))):
                    raise damaged(f"it gives {len(row)} frames for a recording of {expected}")
                rows[number] = row.copy()
                if is_steady(waveform, self.sample_rate):
                    rows[number] = np.zeros_like(row) if self.is_transducer else blank(*row.shape)
            yield indices, rows


def _of(prefix: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
