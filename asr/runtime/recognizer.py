"""An exported recogniser: the transcripts of `Recognizer`, computed by ONNX Runtime."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from asr.batching import read_batches
from asr.config import Config
from asr.finite import require_numbers
from asr.lengths import hop_samples, num_frames, subsampled_length
from asr.recognition.latency import require_streamable
from asr.recognition.steady import blank, is_steady
from asr.recognition.transcriber import DECODER_PREFIX, Transcriber
from asr.runtime.exported import read_tensors, reading
from asr.runtime.session import Session, damaged
from asr.runtime.stream import SessionStream
from asr.text import Units


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
            session.require_outputs(units=len(units))
            recognizer = cls(session, config, units)
            tensors = {name.removeprefix(DECODER_PREFIX): array for name, array in read_tensors(path).items()}
            recognizer.restore(tensors, metadata)
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

    def require_ctc_search(self) -> None:
        """Do nothing: only models with CTC alone can be exported."""

    def acoustic_stream(self) -> SessionStream:
        require_streamable(self.settings)
        return SessionStream(self.session, self.settings)

    def frame_rows(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], list[np.ndarray]]]:
        for indices, waveforms in read_batches(num_samples, read, sample_rate=self.sample_rate):
            rows = self.session.log_probs(waveforms)
            for number, (row, waveform) in enumerate(zip(rows, waveforms, strict=True)):
                require_numbers(row)
                if len(row) != (expected := self.num_output_frames(len(waveform))):
                    raise damaged(f"it gives {len(row)} frames for a recording of {expected}")
                rows[number] = blank(*row.shape) if is_steady(waveform, self.sample_rate) else row.copy()
            yield indices, rows
