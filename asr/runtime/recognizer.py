"""An exported recogniser: the transcripts of `Recognizer`, computed by ONNX Runtime."""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors.numpy

from asr.batching import read_batches
from asr.config import Config
from asr.errors import AsrError, ModelFileError
from asr.finite import require_numbers
from asr.lengths import hop_samples, num_frames, subsampled_length
from asr.model_file import COMMANDS, TENSORS_KEY, read_metadata, task_of
from asr.onnx_file import read_properties
from asr.recognition.latency import require_streamable
from asr.recognition.steady import blank, is_steady
from asr.recognition.transcriber import DECODER_PREFIX, Transcriber
from asr.runtime.session import Session
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
        """Load an exported file. Nothing in it but its operators is executed. `threads` of 0 are one a core.

        Raises ModelFileError that names the file if it is missing, damaged, of another task or of another program.
        """
        path = Path(path)
        metadata = read_metadata(path)
        if (task := task_of(metadata)) != "recognition":
            raise ModelFileError(f"{path}: was trained for {task}; use the model file with `{COMMANDS[task]}`")
        try:
            config = Config.model_validate(metadata["config"])
            units = Units(metadata["units"], config.text.units)
            session = Session(path.read_bytes(), threads=threads)
            session.require_outputs(len(units))
            recognizer = cls(session, config, units)
            recognizer.restore(_tensors(path), metadata)
        except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError, AsrError) as error:
            if isinstance(error, ModuleNotFoundError):  # a recurrent language model needs PyTorch
                raise
            reason = str(error).partition("\n")[0]
            raise ModelFileError(f"{path}: is damaged, its parts do not fit together: {reason:.200}") from None
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
                rows[number] = blank(*row.shape) if is_steady(waveform, self.sample_rate) else row.copy()
            yield indices, rows


def _tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of language models in the metadata of an exported file. Raises ValueError for damaged ones."""
    encoded = read_properties(path).get(TENSORS_KEY)
    if encoded is None:
        return {}
    try:
        tensors = safetensors.numpy.load(base64.b64decode(encoded, validate=True))
    except (safetensors.SafetensorError, binascii.Error) as error:
        raise ValueError(f"its language models are damaged: {error}") from None
    return {name.removeprefix(DECODER_PREFIX): array for name, array in tensors.items()}
