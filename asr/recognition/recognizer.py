"""The recogniser: waveforms in, transcripts out, by one inference path.

Training's evaluation, `asr transcribe` and the library all go through `Recognizer.frames`, in float32. So the
validation score in a training log is the score that `asr transcribe` and `asr score` give.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack, overload

import numpy as np
import torch
from torch import Tensor

from asr.batching import pad
from asr.config import Config, ModelConfig
from asr.decoding.attention import decode
from asr.decoding.confidence import Calibration
from asr.decoding.greedy import best_path
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.times import words_on_path
from asr.equalize import equalize
from asr.errors import AudioError, ConfigError
from asr.model import SpeechModel, require_numbers
from asr.nn.attention import EncoderDecoder
from asr.nn.ctc import ctc_loss
from asr.nn.encoder import AcousticModel
from asr.nn.rnn import Kernels
from asr.progress import ProgressBar
from asr.recognition.sources import Channel, is_recording, transcribe_recordings
from asr.recognition.steady import blank, is_steady, silence
from asr.recognition.stream import Stream
from asr.recognition.trained_lengths import TrainedLengths
from asr.text import Units
from asr.transcript import Transcript, Word, text_of

if TYPE_CHECKING:  # both import numba, which best path does not need
    from asr.decoding.decoder import Decoder
    from asr.decoding.phrases import Rejection

RecognitionNetwork = AcousticModel | EncoderDecoder
_DECODER_PREFIX = "decoder."  # begins the names of tensors of language models


def recognition_network(config: ModelConfig, *, num_bins: int, num_units: int, kernels: Kernels) -> RecognitionNetwork:
    """Build the network on top of the features: an encoder with CTC, with an attention decoder, or with both."""
    if config.decoder == "ctc":
        return AcousticModel(num_bins=num_bins, num_units=num_units, kernels=kernels, **config.encoder)
    ctc_weight, _ = config.loss_weights
    return EncoderDecoder(
        num_bins=num_bins, num_units=num_units, ctc_weight=ctc_weight, kernels=kernels, **config.encoder
    )


class TranscribeOptions(TypedDict, total=False):
    """The options that `Recognizer.transcribe` has for one recording and for many; it explains them."""

    channel: Channel | None
    start: float
    end: float | None
    nbest: int
    hotwords: str | Path | Sequence[str] | None
    phrases: str | Path | Sequence[str] | None
    language_model: bool
    salvage: bool


class Recognizer(SpeechModel[RecognitionNetwork]):
    """A speech recogniser: an acoustic model, the units it emits, and the decoder that makes texts of them.

    `decoder` is None for best path; `asr tune` sets it where a language model helps. `asr tune` also sets `confidence`,
    the calibration of word confidences, and `rejection`, how sure a phrase of a closed set must be. `trained_lengths`
    is None for model files that do not state them.
    """

    task, outputs, outputs_before = "recognition", "units", 1

    def __init__(self, config: Config, units: Units, summary: dict[str, Any] | None = None) -> None:
        """Build a recogniser with fresh weights. `summary` is shown by `asr info`: how it was trained."""
        super().__init__(config, self.network_for(len(units.symbols)), summary)
        self.units = units
        self.symbols = units.symbols
        self.decoder: Decoder | None = None
        self.confidence: Calibration | None = None
        self.rejection: Rejection | None = None
        self.trained_lengths: TrainedLengths | None = None

    def facts(self) -> list[str]:
        decoder = self.config.model.decoder
        facts = super().facts() if decoder == "ctc" else [*super().facts(), f"{decoder} decoder"]
        return facts if self.decoder is None else [*facts, "with a language model"]

    @property
    def has_ctc(self) -> bool:
        """Return True if the model has CTC's log-probabilities for each frame, and so can time words."""
        return self.config.model.decoder != "attention"

    @property
    def equalizes(self) -> bool:
        """Return True if the model was trained on equalised recordings, so that it needs them equalised."""
        return self.config.features.equalize

    def require_ctc_search(self) -> None:
        """Raise ConfigError unless the model decodes by a search over CTC's log-probabilities alone."""
        if self.config.model.decoder != "ctc":
            raise ConfigError(
                "language models, hotwords, phrases and n-best lists belong to the search over CTC's log-probabilities "
                "and this model decodes with attention; train one with --set model.decoder=ctc"
            )

    @property
    def stride(self) -> int:
        """Samples from the middle of one encoder frame to the next; the first is centred on the first sample."""
        return self.features.hop * self.config.model.subsampling

    @torch.inference_mode()
    def frames(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what the model's decoder reads from audio `(B, N)`, lengths `(B,)` in samples.

        Returns CTC's log-probabilities `(B, S, V)`, or for an attention decoder encoder states `(B, S, D)`, and lengths
        `(B,)` in frames.
        """
        if isinstance(self.acoustic_model, EncoderDecoder):
            return self.compute(audio, lengths, self.acoustic_model.encode)
        frames, lengths = self.compute(audio, lengths)
        return frames, lengths

    @torch.inference_mode()
    def ctc(self, frames: Tensor) -> Tensor:
        """Return CTC's log-probabilities `(B, S, V)` of `frames`. Raises ConfigError for attention without CTC."""
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
        """Compute log-probabilities `(B, S, V)` and lengths `(B,)` in frames from audio `(B, N)`, lengths in samples.

        Raises ConfigError for attention without CTC.
        """
        frames, lengths = self.frames(audio, lengths)
        return self.ctc(frames), lengths

    @torch.inference_mode()
    def losses(self, frames: Tensor, lengths: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
        """Compute the loss of each target in nats, `(B,)`, as training does."""
        if isinstance(self.acoustic_model, EncoderDecoder):
            return self.acoustic_model.losses(frames, lengths, targets)
        return ctc_loss(frames, lengths, targets)

    def batches(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Compute the `frames` of many waveforms, batched by `read_batches`: `(indices, frames, lengths)`.

        The frames of a steady sound (silence, hum, noise) are set to blank or zero: a model invents words in it.
        """
        for indices, waveforms in self.read_batches(num_samples, read):
            frames, lengths = self.frames(*pad(waveforms))
            for row, waveform in zip(frames, waveforms, strict=True):
                if is_steady(waveform, self.sample_rate):
                    with torch.inference_mode():
                        row.zero_() if isinstance(self.acoustic_model, EncoderDecoder) else silence(row)
            yield indices, frames, lengths

    def texts(self, frames: Tensor, lengths: Tensor) -> list[str]:
        """Decode `frames`, lengths `(B,)` into texts."""
        return [self.text(hypothesis.units) for hypothesis in self.hypotheses(frames, lengths)]

    def hypotheses(self, frames: Tensor, lengths: Tensor) -> list[Hypothesis]:
        """Decode `frames`, lengths `(B,)` into hypotheses in units, with the model's own decoder."""
        if isinstance(self.acoustic_model, EncoderDecoder):
            states, lengths = frames.to(self.device), lengths.to(self.device)
            return decode(self.acoustic_model, states, lengths, self.ctc(states) if self.has_ctc else None, self.units)
        if self.decoder is None:
            return best_path(frames, lengths)
        rows = zip(frames.cpu().numpy(), lengths.tolist(), strict=True)
        return self.decoder.decode([row[:length] for row, length in rows])

    def text(self, units: Sequence[int]) -> str:
        """Spell a sequence of units as normalised text."""
        return self.normalizer(self.units.decode(units))

    def decode_segment(self, frames: Tensor, start: int = 0) -> tuple[str, tuple[Word, ...]]:
        """Decode the `frames (S, V)` or `(S, D)` of a segment that begins at frame `start` of a recording.

        Returns its text, and its words if the model can time them.
        """
        if self.has_ctc:
            words = self.words(frames, start)
            return text_of(words), words
        return self.texts(frames[None], torch.tensor([len(frames)]))[0], ()

    def words(self, frames: Tensor, start: int = 0, units: Sequence[int] | None = None) -> tuple[Word, ...]:
        """Time the words of one segment's `frames`, whose first is frame `start` of the recording.

        `units` is the hypothesis, if the segment has been decoded. Raises ConfigError for attention without CTC.
        """
        rows = self.ctc(frames).cpu().numpy()
        path = rows.argmax(axis=1)
        if units is None and (self.decoder is not None or isinstance(self.acoustic_model, EncoderDecoder)):
            units = self.hypotheses(frames[None], torch.tensor([len(frames)]))[0].units
        if units is not None:
            from asr.decoding.forced import best_states, exact_target  # imports numba, which best path does not need

            target = exact_target(units)
            path = target.units[best_states(rows, target)]
        words = words_on_path(
            path,
            rows[np.arange(len(path)), path],
            self.units,
            spell=self.text,
            start=start,
            seconds_per_frame=self.stride / self.sample_rate,
        )
        if self.confidence is None:
            return words
        return tuple(replace(word, confidence=self.confidence(word.confidence)) for word in words)

    def recognize(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Transcribe waveforms `(N,)`, float32 at the model's sample rate, into texts, in their order."""
        if self.config.features.equalize:
            waveforms = equalize(waveforms, self.sample_rate)
        texts = [""] * len(waveforms)
        for indices, log_probs, lengths in self.batches([len(w) for w in waveforms], waveforms.__getitem__):
            require_numbers(log_probs)
            for index, text in zip(indices, self.texts(log_probs, lengths), strict=True):
                texts[index] = text
        return texts

    @overload
    def transcribe(  # type: ignore[overload-overlap]  # an open file is an iterable too
        self,
        recording: str | PathLike[str] | bytes | IO[bytes] | np.ndarray | Tensor | tuple[Any, Any] | dict[str, Any],
        sample_rate: int | None = None,
        **options: Unpack[TranscribeOptions],
    ) -> Transcript: ...

    @overload
    def transcribe(
        self,
        recording: Iterable[Any],
        sample_rate: int | None = None,
        *,
        errors: Literal["raise"] = "raise",
        progress: bool = False,
        **options: Unpack[TranscribeOptions],
    ) -> Iterator[Transcript]: ...

    @overload
    def transcribe(
        self,
        recording: Iterable[Any],
        sample_rate: int | None = None,
        *,
        errors: Literal["return"],
        progress: bool = False,
        **options: Unpack[TranscribeOptions],
    ) -> Iterator[Transcript | AudioError]: ...

    def transcribe(
        self,
        recording: Any,
        sample_rate: int | None = None,
        *,
        channel: Channel | None = None,
        start: float = 0.0,
        end: float | None = None,
        nbest: int = 0,
        hotwords: str | Path | Sequence[str] | None = None,
        phrases: str | Path | Sequence[str] | None = None,
        language_model: bool = True,
        salvage: bool = False,
        errors: Literal["raise", "return"] = "raise",
        progress: bool = False,
    ) -> Any:
        """Transcribe one recording of any length, or many.

        A recording is a path, the bytes of a file, an open file, an array or tensor `(N,)` or `(channels, N)` with its
        `sample_rate` in Hz, `(rate, array)`, or a Hugging Face record `{"array": …, "sampling_rate": …}`. Of a list or
        an iterator of recordings the result is an iterator of transcripts in the same order, computed in batches.

        Args:
            recording: One recording, or a list or iterator of recordings.
            sample_rate: Hz, of arrays without a rate of their own.
            channel: The channel to transcribe, from 1, or "mix" for the average of all. Default: the average for files;
                an array of several channels is refused, since it could be several recordings.
            start: Seconds at which to begin.
            end: Seconds at which to end (default: the end of the recording).
            nbest: Length of the n-best list in `Transcript.nbest` (default: none).
            hotwords: Words and phrases to favour: a file, or its lines.
            phrases: A closed set, of which the text is one phrase or nothing: a file, or its lines.
            language_model: Use the model's language models, if it has any.
            salvage: Transcribe what is there of a truncated or damaged recording, and log both lengths.
            errors: Of many recordings: "raise" the AudioError of a recording without usable audio, or "return" it in
                its place and go on.
            progress: Of many recordings: show a progress bar on stderr.

        Raises AudioError for a recording without usable audio, TextError for hotwords or phrases that the model cannot
        spell, ConfigError for options that this kind of model does not have.
        """
        search = None
        if nbest or hotwords is not None or phrases is not None or not language_model:
            from asr.recognition.search import build_search  # imports numba, which best path does not need

            search = build_search(self, nbest=nbest, hotwords=hotwords, phrases=phrases, language_model=language_model)
        single = is_recording(recording)
        if not single and not isinstance(recording, Iterable):
            raise AudioError(f"a {type(recording).__name__} is no recording, and no list of recordings")
        results = transcribe_recordings(
            self,
            [recording] if single else recording,
            numbered=not single,
            sample_rate=sample_rate,
            channel=channel,
            start=start,
            end=end,
            search=search,
            salvage=salvage,
        )
        if not single:
            return _checked(results, errors == "return", recording if progress else None)
        (result,) = results
        if isinstance(result, AudioError):
            raise result
        return result

    def stream(self, sample_rate: int | None = None) -> Stream:
        """Begin a stream of samples at `sample_rate` Hz (default: the model's rate), transcribed while it comes.

        Raises ConfigError for a model that needs whole utterances.
        """
        return Stream(self, sample_rate)

    def parts(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        tensors: dict[str, np.ndarray] = {}
        metadata: dict[str, Any] = {"units": self.units.symbols}
        if self.trained_lengths is not None:
            metadata["lengths"] = self.trained_lengths.model_dump()
        if self.confidence is not None:
            metadata["confidence"] = self.confidence.model_dump()
        if self.rejection is not None:
            metadata["phrases"] = self.rejection.model_dump()
        if self.decoder is not None:
            metadata["decoding"] = self.decoder.to_metadata()
            tensors = {_DECODER_PREFIX + name: array for name, array in self.decoder.to_tensors().items()}
        return tensors, metadata

    @classmethod
    def network_for(cls, num_symbols: int) -> Callable[..., RecognitionNetwork]:
        return partial(recognition_network, num_units=num_symbols + 1)  # the blank

    @classmethod
    def from_parts(cls, config: Config, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        recognizer = cls(config, Units(metadata["units"], config.text.units), metadata.get("training"))
        names = [name for name in tensors if name.startswith(_DECODER_PREFIX)]
        arrays = {name.removeprefix(_DECODER_PREFIX): tensors.pop(name).numpy() for name in names}
        if "decoding" in metadata:
            from asr.decoding.decoder import Decoder  # imports numba, which best path does not need

            recognizer.decoder = Decoder.from_parts(recognizer.units, arrays, metadata["decoding"])
        if "lengths" in metadata:
            recognizer.trained_lengths = TrainedLengths.model_validate(metadata["lengths"])
        if "confidence" in metadata:
            recognizer.confidence = Calibration.model_validate(metadata["confidence"])
        if "phrases" in metadata:
            from asr.decoding.phrases import Rejection

            recognizer.rejection = Rejection.model_validate(metadata["phrases"])
        return recognizer


def _checked(
    results: Iterator[Transcript | AudioError], keep_errors: bool, counted: Any
) -> Iterator[Transcript | AudioError]:
    """Yield results; raise an AudioError unless errors are kept; show progress if `counted` recordings are given."""
    if counted is None:
        for result in results:
            if isinstance(result, AudioError) and not keep_errors:
                raise result
            yield result
        return
    with ProgressBar("transcribing", len(counted) if hasattr(counted, "__len__") else None) as bar:
        for result in _checked(results, keep_errors, None):
            bar.advance()
            yield result


def load(path: str | Path, device: str | torch.device | None = None) -> Recognizer:
    """Load a recogniser from a model file, onto `device` (default: CUDA where there is a GPU).

    Raises ModelFileError that names the file if it is missing, damaged or of another task.
    """
    return Recognizer.from_file(path, device)
