"""The model file, and the recogniser it holds: waveforms in, texts out, by the one inference path.

Training's evaluation, `asr transcribe` and the library all go through `Recognizer.log_probs`, in float32, so
the validation score in a training log is what `asr transcribe` and `asr score` give.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from asr.batching import pad, plan_batches
from asr.config import Config, FeaturesConfig, ModelConfig
from asr.decoding.attention import decode
from asr.decoding.greedy import best_path
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.times import words_on_path
from asr.errors import ConfigError, LanguageModelError, ModelFileError
from asr.features import MFCC, LogMel, Spectrogram
from asr.files import write_whole
from asr.nn.attention import EncoderDecoder
from asr.nn.ctc import ctc_loss
from asr.nn.encoder import AcousticModel
from asr.steady import blank, is_steady, silence
from asr.text import Units
from asr.transcript import Transcript, Word, spoken

if TYPE_CHECKING:
    from asr.decoding.decoder import Decoder

FORMAT = 1
_METADATA_KEY = "asr"
_DECODER_PREFIX = "decoder."  # of the tensors that are language models, not weights
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


def build_model(config: ModelConfig, *, num_bins: int, num_units: int) -> AcousticModel | EncoderDecoder:
    """What stands on top of the features: an encoder with CTC, with an attention decoder, or with both."""
    encoder = {"num_bins": num_bins, "num_units": num_units, **config.model_dump(exclude={"decoder", "ctc_weight"})}
    if config.decoder == "ctc":
        return AcousticModel(**encoder)
    return EncoderDecoder(ctc_weight=config.loss_weights[0], **encoder)


class Recognizer:
    """Features, acoustic model, units and normaliser of one model, and everything known of its training."""

    def __init__(self, config: Config, units: Units, summary: dict[str, Any] | None = None) -> None:
        """A recogniser with fresh weights. `summary` is what `asr info` shows of its training."""
        self.config = config
        self.units = units
        self.summary = summary or {}
        self.decoder: Decoder | None = None  # best path, unless `asr tune` has found a language model that helps
        self.normalizer = config.text.normalizer
        self.features = build_features(config.features)
        self.acoustic_model = build_model(config.model, num_bins=self.features.num_bins, num_units=len(units))
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
        return self.features.bin_mean.device

    def to(self, device: str | torch.device) -> "Recognizer":
        self.modules.to(device)
        return self

    def num_output_frames(self, num_samples: int) -> int:
        """Encoder frames that `num_samples` samples give: the `S` of `S >= L + repeats`."""
        return self.acoustic_model.num_output_frames(self.features.num_frames(num_samples))

    @property
    def has_ctc(self) -> bool:
        """Whether the model tells what is said in each frame, and so when; attention alone does not."""
        return self.config.model.decoder != "attention"

    @torch.inference_mode()
    def frames(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Audio `(B, N)`, lengths `(B,)` in samples -> what the model's decoder reads, lengths `(B,)` in frames.

        That is CTC's log-probabilities `(B, S, V)`, or for an attention decoder encoder states `(B, S, D)`.
        """
        self.acoustic_model.eval()
        features, frames = self.features(audio.to(self.device), lengths.to(self.device))
        if isinstance(self.acoustic_model, EncoderDecoder):
            return self.acoustic_model.encode(features, frames)
        log_probs, frames = self.acoustic_model(features, frames)
        return log_probs, frames

    @torch.inference_mode()
    def ctc(self, frames: Tensor) -> Tensor:
        """CTC's log-probabilities `(B, S, V)` in `frames`. Raises ConfigError for a model that has attention alone."""
        if not isinstance(self.acoustic_model, EncoderDecoder):
            return frames
        if not self.has_ctc:
            raise ConfigError(
                "this model has no CTC output (model.decoder: attention), so it cannot tell what is said when; "
                "train one that can: asr train CONFIG --set model.decoder=joint"
            )
        log_probs = self.acoustic_model.log_probs(frames.to(self.device))
        log_probs[~frames.any(dim=-1)] = blank(1, len(self.units)).to(self.device)
        return log_probs

    def log_probs(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Audio `(B, N)`, lengths `(B,)` in samples -> log-probabilities `(B, S, V)`, lengths `(B,)` in frames.

        Raises ConfigError as `ctc` does.
        """
        frames, lengths = self.frames(audio, lengths)
        return self.ctc(frames), lengths

    @torch.inference_mode()
    def losses(self, frames: Tensor, lengths: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
        """The loss of each text in nats, `(B,)`, as training counts it."""
        if isinstance(self.acoustic_model, EncoderDecoder):
            return self.acoustic_model.losses(frames, lengths, targets)
        return ctc_loss(frames, lengths, targets)

    def batches(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """The `frames` of many waveforms, in batches of like length: `(indices, frames, lengths)`.

        Those of a steady sound say that nothing is said, all blank or all zero: a model would guess words in it.

        `read(index)` gives a waveform of `num_samples[index]` samples when its batch comes.
        """
        plan = plan_batches(
            num_samples,
            max_samples=round(_BATCH_SECONDS * self.sample_rate),
            max_utterances=_BATCH_UTTERANCES,
        )
        for indices in plan:
            waveforms = [read(index) for index in indices]
            frames, lengths = self.frames(*pad(waveforms))
            for row, waveform in zip(frames, waveforms, strict=True):
                if is_steady(waveform, self.sample_rate):
                    self._silence(row)
            yield indices, frames, lengths

    @torch.inference_mode()
    def _silence(self, frames: Tensor) -> None:
        """Makes `frames` those of an utterance in which nothing is said, in place."""
        if isinstance(self.acoustic_model, EncoderDecoder):
            frames.zero_()
        else:
            silence(frames)

    def texts(self, frames: Tensor, lengths: Tensor) -> list[str]:
        """The transcripts that `frames` decode to."""
        return [self.text(hypothesis.units) for hypothesis in self.hypotheses(frames, lengths)]

    def hypotheses(self, frames: Tensor, lengths: Tensor) -> list[Hypothesis]:
        """The same as units, by the model's own decoder."""
        if isinstance(self.acoustic_model, EncoderDecoder):
            states, lengths = frames.to(self.device), lengths.to(self.device)
            return decode(self.acoustic_model, states, lengths, self.ctc(states) if self.has_ctc else None, self.units)
        if self.decoder is None:
            return best_path(frames, lengths)
        rows = zip(frames.cpu().numpy(), lengths.tolist(), strict=True)
        return self.decoder.decode([row[:length] for row, length in rows])

    def text(self, units: Sequence[int]) -> str:
        """The text of a unit sequence, normalised."""
        return self.normalizer(self.units.decode(units))

    def hear(self, frames: Tensor, start: int = 0) -> tuple[str, tuple[Word, ...]]:
        """The text of one utterance's `frames (S, V)` or `(S, D)`, and its `words` if the model can tell them."""
        if self.has_ctc:
            words = self.words(frames, start)
            return spoken(words), words
        return self.texts(frames[None], torch.tensor([len(frames)]))[0], ()

    def words(self, frames: Tensor, start: int = 0) -> tuple[Word, ...]:
        """The words of one utterance's `frames`, with times and confidence; its first frame is `start`.

        Raises ConfigError as `ctc` does.
        """
        rows = self.ctc(frames).cpu().numpy()
        path = rows.argmax(axis=1)
        if self.decoder is not None or isinstance(self.acoustic_model, EncoderDecoder):
            from asr.decoding.forced import best_states, exact_target  # brings numba, which best path needs not

            (best,) = self.hypotheses(frames[None], torch.tensor([len(frames)]))
            target = exact_target(best.units)
            path = target.units[best_states(rows, target)]
        return words_on_path(
            path,
            rows[np.arange(len(path)), path],
            self.units,
            spell=self.text,
            start=start,
            seconds_per_frame=self.stride / self.sample_rate,
        )

    def recognize(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Transcripts of waveforms `(N,)`, float32 at this model's sample rate, in their order."""
        texts = [""] * len(waveforms)
        for indices, frames, lengths in self.batches([len(w) for w in waveforms], waveforms.__getitem__):
            for index, text in zip(indices, self.texts(frames, lengths), strict=True):
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
        metadata = {
            "format": FORMAT,
            "config": self.config.model_dump(mode="json"),
            "units": self.units.symbols,
            "training": self.summary,
        }
        state = self.modules.state_dict()
        tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        if self.decoder is not None:
            metadata["decoding"] = self.decoder.to_metadata()
            for name, array in self.decoder.to_tensors().items():
                tensors[_DECODER_PREFIX + name] = torch.tensor(array)
        write_whole(
            Path(path), safetensors.torch.save(tensors, {_METADATA_KEY: json.dumps(metadata, ensure_ascii=False)})
        )


def load(path: str | Path, device: str | torch.device | None = None) -> Recognizer:
    """Loads a model file onto `device` (default: CUDA where there is one). Nothing in it is ever executed.

    Raises ModelFileError that names the file if it is missing, damaged, or not one of ours.
    """
    metadata = read_metadata(path)
    try:
        config = Config.model_validate(metadata["config"])
        recognizer = Recognizer(config, Units(metadata["units"], config.text.units), metadata.get("training"))
        tensors = safetensors.torch.load_file(path)
        arrays = {
            name.removeprefix(_DECODER_PREFIX): tensors.pop(name).numpy()
            for name in list(tensors)
            if name.startswith(_DECODER_PREFIX)
        }
        recognizer.modules.load_state_dict(tensors)
        if "decoding" in metadata:
            from asr.decoding.decoder import Decoder  # brings numba, which best path needs not

            recognizer.decoder = Decoder.from_parts(recognizer.units, arrays, metadata["decoding"])
    except (KeyError, ValidationError, RuntimeError, LanguageModelError, safetensors.SafetensorError) as error:
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
