"""Teachers: models whose averaged log-probabilities a new model learns, beside the texts or without texts."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asr.recognition.ensemble import average, require_equal_frames
from asr.recognition.recognizer import Recognizer, load
from asr.training.augment import stretch
from asr.training.speech import few_sizes


class Teachers:
    """Recognisers that tell for each frame of a batch how probable they find each unit."""

    def __init__(self, paths: Sequence[str], student: Recognizer) -> None:
        """Load the model files `paths` onto the device of the student.

        Raises ModelFileError for a bad file, and ConfigError unless the frames of all of them are those of the student.
        """
        self._paths = paths
        self._models = [load(path, student.device) for path in paths]
        names, fault = ["the model to train", *paths], "cannot be a teacher and its student"
        require_equal_frames([student], names[:1], fault, "set model.decoder to ctc")
        require_equal_frames([student, *self._models], names, fault, "leave it out")

    @torch.no_grad()
    def log_probs(self, audio: Tensor, lengths: Tensor, frames: Tensor) -> Tensor:
        """Compute averaged log-probabilities `(B, S, V)` of audio `(B, N)`, lengths `(B,)` in samples.

        Teachers read features without masks, noise and warped frequencies, at the tempo of the student: `frames (B,)`
        are the feature frames that the student reads of each utterance.
        """
        found: list[list[np.ndarray]] = []
        for model in self._models:
            with torch.autocast(audio.device.type, enabled=False):  # as in `SpeechTask.features`
                features, before = model.features(audio, lengths)
                features = features if torch.equal(before, frames) else stretch(features, before, frames)
                features = functional.pad(features, (0, 0, 0, few_sizes(features.shape[1]) - features.shape[1]))
            log_probs, sizes = model.acoustic_model.eval()(features, frames)
            rows = zip(log_probs.float().cpu().numpy(), sizes.tolist(), strict=True)
            found.append([row[:size] for row, size in rows])
        averaged = [torch.from_numpy(average(rows)) for rows in zip(*found, strict=True)]
        return torch.nn.utils.rnn.pad_sequence(averaged, batch_first=True).to(audio.device)

    def state(self) -> bytes:
        """Return a digest of the model files."""
        digests = [hashlib.sha256(Path(path).read_bytes()).digest() for path in self._paths]
        return b"".join(digests)
