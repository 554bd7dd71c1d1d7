"""An exported classifier: the classes of `Classifier`, computed by ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from asr.classification import BaseClassifier
from asr.config import Config
from asr.runtime.exported import reading
from asr.runtime.session import Session


class ExportedClassifier(BaseClassifier):
    """A classifier that `asr export` wrote. It classifies as the model does that it was exported from."""

    def __init__(self, session: Session, config: Config, classes: Sequence[str]) -> None:
        """Join a session and the settings of its model."""
        self.session = session
        self.config = config
        self.classes = tuple(classes)
        self.normalizer = config.text.normalizer

    @classmethod
    def load(cls, path: str | Path, *, threads: int = 0) -> Self:
        """Load an exported file. Nothing in it but its operators is executed.

        `threads` of 0 are those of OMP_NUM_THREADS, or else one a core.

        Raises ModelFileError that names the file if it is missing, damaged, of another task or of another program.
        """
        path = Path(path)
        with reading(path, "classification") as metadata:
            config = Config.model_validate(metadata["config"])
            if not isinstance(classes := metadata["classes"], list):
                raise TypeError("classes must be a list")
            session = Session(path.read_bytes(), threads=threads)
            session.require_outputs(classes=len(classes))
            return cls(session, config, classes)

    def __repr__(self) -> str:
        model = self.config.model
        return (
            f"<{type(self).__name__}: {len(self.classes)} classes, {self.sample_rate} Hz, {model.layers} x "
            f"{model.hidden} {'bidirectional ' if model.bidirectional else ''}{model.cell}>"
        )

    def batch_log_probs(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(self.session.log_probs(waveforms))
