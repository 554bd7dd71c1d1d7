"""The model file, and the recogniser it holds: waveforms in, texts out, by the one inference path.

Training's evaluation, `asr transcribe` and the library all go through `Recognizer.log_probs`, in float32, so
the validation score in a training log is what `asr transcribe` and `asr score` give.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from asr.batching import pad, plan_batches
from asr.config import Config, FeaturesConfig
from asr.decoding.greedy import best_path
from asr.decoding.times import words_on_path
from asr.errors import ModelFileError
from asr.features import MFCC, LogMel, Spectrogram
from asr.nn.encoder import AcousticModel
from asr.text import Normalizer, Units
from asr.transcript import Transcript, Word

FORMAT = 1
_METADATA_KEY = "asr"
_BATCH_SECONDS = 120.0
_BATCH_UTTERANCES = 32


def build_features(config: FeaturesConfig) -> Spectrogram:
    """The front end that a configuration describes."""
    common = {"sample_rate": config.sample_rate, "window_ms": config.window_ms, "hop_ms": config.hop_ms}
    if config.kind == "log_mel":
        return LogMel(bins=config.bins, **common)  # type: ignore[arg-type]
    if config.kind == "mfcc":
        return MFCC(bins=config.bins, coefficients=config.coefficients, **common)  # type: ignore[arg-type]
    return Spectrogram(**common)  # type: ignore[arg-type]


class Recognizer:
    """Features, acoustic model, units and normaliser of one model, and everything known of its training."""

    def __init__(self, config: Config, units: Units, summary: dict[str, Any] | None = None) -> None:
        """A recogniser with fresh weights. `summary` is what `asr info` shows of its training."""
        self.config = config
        self.units = units
        self.summary = summary or {}
        self.normalizer = Normalizer(lower=config.text.lower)
        self.features = build_features(config.features)
        self.acoustic_model = AcousticModel(
            num_bins=self.features.num_bins,
            num_units=len(units),
            **config.model.model_dump(),
        )
        self.modules = nn.ModuleDict({"features": self.features, "acoustic_model": self.acoustic_model})

    @property
    def sample_rate(self) -> int:
        return self.config.features.sample_rate

    @property
    def stride(self) -> int:
        """Samples from the middle of an encoder frame to that of the next; the first is centred on the first sample."""
        return self.features.hop * self.config.model.subsampling

    @property
    def device(self) -> torch.device:
        return self.acoustic_model.output.weight.device

    def to(self, device: str | torch.device) -> "Recognizer":
        self.modules.to(device)
        return self

    def num_output_frames(self, num_samples: int) -> int:
        """Encoder frames that `num_samples` samples give: the `S` of `S >= L + repeats`."""
        return self.acoustic_model.num_output_frames(self.features.num_frames(num_samples))

    @torch.inference_mode()
    def log_probs(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Audio `(B, N)`, lengths `(B,)` in samples -> log-probabilities `(B, S, V)`, lengths `(B,)` in frames."""
        self.acoustic_model.eval()
        features, frames = self.features(audio.to(self.device), lengths.to(self.device))
        log_probs, frames = self.acoustic_model(features, frames)
        return log_probs, frames

    def batches(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Log-probabilities of many waveforms, in batches of like length: `(indices, log_probs, lengths)`.

        `read(index)` gives a waveform of `num_samples[index]` samples when its batch comes.
        """
        plan = plan_batches(
            num_samples,
            max_samples=round(_BATCH_SECONDS * self.sample_rate),
            max_utterances=_BATCH_UTTERANCES,
        )
        for indices in plan:
            yield indices, *self.log_probs(*pad(read(index) for index in indices))

    def texts(self, log_probs: Tensor, lengths: Tensor) -> list[str]:
        """The transcripts that log-probabilities `(B, S, V)` decode to."""
        return [" ".join(self.units.decode(best.units).split()) for best in best_path(log_probs, lengths)]

    def words(self, log_probs: Tensor, start: int = 0) -> tuple[Word, ...]:
        """The words of one utterance's `log_probs (S, V)`, with times and confidence; its first frame is `start`."""
        scores, path = log_probs.max(dim=-1)
        seconds = self.stride / self.sample_rate
        return words_on_path(path.numpy(), scores.numpy(), self.units, start=start, seconds_per_frame=seconds)

    def recognize(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Transcripts of waveforms `(N,)`, float32 at this model's sample rate, in their order."""
        texts = [""] * len(waveforms)
        for indices, log_probs, lengths in self.batches([len(w) for w in waveforms], waveforms.__getitem__):
            for index, text in zip(indices, self.texts(log_probs, lengths), strict=True):
                texts[index] = text
        return texts

    def transcribe(self, source: Any, sample_rate: int | None = None) -> Transcript:
        """Transcribes one recording: a path, or an array or tensor with its `sample_rate` in Hz.

        Raises AudioError if it holds no usable audio.
        """
        from asr.transcribe import transcribe_one

        return transcribe_one(self, source, sample_rate)

    def save(self, path: str | Path) -> None:
        """Writes the model file, whole or not at all. The same model gives the same bytes."""
        path = Path(path)
        metadata = {
            "format": FORMAT,
            "config": self.config.model_dump(mode="json"),
            "units": self.units.symbols,
            "training": self.summary,
        }
        state = self.modules.state_dict()
        tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".part")
        draft.write_bytes(safetensors.torch.save(tensors, {_METADATA_KEY: json.dumps(metadata, ensure_ascii=False)}))
        draft.replace(path)


def load(path: str | Path, device: str | torch.device | None = None) -> Recognizer:
    """Loads a model file onto `device` (default: CUDA where there is one). Nothing in it is ever executed.

    Raises ModelFileError that names the file if it is missing, damaged, or not one of ours.
    """
    metadata = read_metadata(path)
    try:
        recognizer = Recognizer(
            Config.model_validate(metadata["config"]), Units(metadata["units"]), metadata.get("training")
        )
        recognizer.modules.load_state_dict(safetensors.torch.load_file(path))
    except (KeyError, ValidationError, RuntimeError, safetensors.SafetensorError) as error:
        raise ModelFileError(f"{path}: its parts do not fit together: {error}") from None
    return recognizer.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The JSON description inside a model file. Raises ModelFileError as `load` does."""
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file; training leaves one in runs/NAME/model.safetensors")
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {})[_METADATA_KEY])
    except (safetensors.SafetensorError, json.JSONDecodeError):
        raise ModelFileError(f"{path}: is damaged or no safetensors file; copy it again") from None
    except KeyError:
        raise ModelFileError(f"{path}: is a safetensors file of another program; train one with `asr train`") from None
    if metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path}: has format {metadata.get('format')}, this version reads {FORMAT}; update asr")
    return metadata
