"""From frames to transcripts: what all recognisers share, whatever computes their frames. No torch here."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

import numpy as np

from asr.decoding.confidence import Calibration
from asr.decoding.greedy import best_path
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.times import words_on_path
from asr.equalize import equalize
from asr.errors import AudioError, ConfigError, LanguageModelError
from asr.lengths import required_frames
from asr.progress import ProgressBar
from asr.recognition.sources import Channel, is_recording, transcribe_recordings
from asr.recognition.stream import AcousticStream, Stream
from asr.recognition.trained_lengths import TrainedLengths
from asr.text import Normalizer, Units
from asr.transcript import Transcript, Word, text_of

if TYPE_CHECKING:
    from torch import Tensor

    from asr.decoding.beam import Pruning  # these import numba, which best path does not need
    from asr.decoding.decoder import Decoder, FrameSearch
    from asr.decoding.fusion import Fusion
    from asr.decoding.phrases import Rejection
    from asr.decoding.transducer import JointNetwork
    from asr.lm.ngram import NGram

DECODER_PREFIX = "decoder."  # begins the names of tensors of language models
_MOST_WIDTH = 1024  # prefixes of the search over a transducer that a file may ask for
TRANSDUCER_WIDTH = 8  # prefixes of the search over a transducer, unless `asr tune` sets another number
_WITHOUT_CTC = {  # decoder of a model without CTC: the setting at fault, and its cure
    "attention": ("model.decoder: attention", "model.decoder=joint"),
    "transducer": ("model.ctc_weight: 0", "model.ctc_weight=0.3"),
}


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


class Transcriber(ABC):
    """A recogniser without its network: units and text rules, decoding, word times, recordings of any length.

    `decoder` is None for best path; `asr tune` sets it where a language model helps. `asr tune` also sets `confidence`,
    the calibration of word confidences, and `rejection`, how sure a phrase of a closed set must be. `trained_lengths`
    is None for model files that do not state them.
    """

    units: Units
    normalizer: Normalizer
    decoder: "Decoder | None" = None
    confidence: Calibration | None = None
    rejection: "Rejection | None" = None
    trained_lengths: TrainedLengths | None = None

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the sections `features` and `model` of the configuration."""

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """Hz."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """Samples from the middle of one encoder frame to the next; the first is centred on the first sample."""

    @abstractmethod
    def frame_rows(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], list[np.ndarray]]]:
        """Compute the frames of many waveforms, in batches: see `FrameModel.frame_rows`."""

    @abstractmethod
    def num_output_frames(self, num_samples: int) -> int:
        """Return the number of encoder frames of `num_samples` samples: the `S` of `S >= L + repeats`."""

    @abstractmethod
    def acoustic_stream(self) -> AcousticStream:
        """Begin a stream of samples. Raises ConfigError for a model that needs whole utterances."""

    def require_ctc_search(self) -> None:
        """Raise ConfigError unless the model decodes by a search over CTC's log-probabilities alone."""
        if self.is_transducer:
            raise ConfigError(
                "closed sets of phrases belong to the search over CTC's log-probabilities, and this model is a "
                "transducer; train one with --set model.decoder=ctc"
            )

    def require_ctc(self) -> None:
        """Raise ConfigError for a model without CTC, which cannot time words."""
        if not self.has_ctc:
            without, cure = _WITHOUT_CTC[self.settings["model"]["decoder"]]
            raise ConfigError(
                f"this model has no CTC output ({without}), so it cannot tell what is said when; "
                f"train one that can: asr train CONFIG --set {cure}"
            )

    @property
    def is_transducer(self) -> bool:
        """Return True if the model decodes encoder states by a search over a transducer."""
        return bool(self.settings["model"]["decoder"] == "transducer")

    def joint_network(self) -> "JointNetwork":
        """Return the arrays of the transducer. Raises ConfigError for a cell that compiled code does not compute."""
        raise NotImplementedError

    @property
    def has_ctc(self) -> bool:
        """Return True if the model has CTC's log-probabilities for each frame, and so can time words."""
        return True

    @property
    def reads_log_probs(self) -> bool:
        """Return True if the model decodes CTC's log-probabilities alone."""
        return bool(self.settings["model"]["decoder"] == "ctc")

    @property
    def by_best_path(self) -> bool:
        """Return True if the text is the most probable unit of each frame."""
        return self.decoder is None and self.reads_log_probs

    def beam(
        self, words: "NGram | None" = None, characters: "NGram | None" = None, *, closed: bool = False
    ) -> "Decoder":
        """Return a beam search over the frames of this model, with language models of weight 0.

        Raises ConfigError for a model with an attention decoder, and the errors of `Decoder`.
        """
        from asr.decoding.decoder import Decoder  # imports numba, which best path does not need

        decoder = Decoder(self.units, words, characters, closed=closed)
        if not self.is_transducer:
            return decoder
        return decoder.using(pruning=decoder.pruning._replace(width=TRANSDUCER_WIDTH)).over(self._begin_search)

    def _begin_search(self, fusion: "Fusion", pruning: "Pruning") -> "FrameSearch":
        """Begin a search over the encoder states of a transducer."""
        from asr.decoding.transducer_search import TransducerSearch

        return TransducerSearch(self.joint_network(), fusion, pruning)

    @property
    def equalizes(self) -> bool:
        """Return True if the model was trained on equalised recordings, so that it needs them equalised."""
        return bool(self.settings["features"]["equalize"])

    def unit_rows(self, frames: np.ndarray) -> np.ndarray:
        """Return CTC's log-probabilities `(S, V)` of frames. Raises ConfigError for a model without CTC."""
        return frames

    def decode_rows(self, rows: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Decode the frames of utterances, `(S, V)` or `(S, D)` each, with the model's own decoder."""
        if self.decoder is not None or self.is_transducer:
            return (self.decoder or self.beam()).decode(rows)
        return [best_path(row[None], [len(row)])[0] for row in rows]

    def text(self, units: Sequence[int]) -> str:
        """Spell a sequence of units as normalised text."""
        return self.normalizer(self.units.decode(units))

    def decode_segment(self, frames: np.ndarray, start: int = 0) -> tuple[str, tuple[Word, ...]]:
        """Decode the frames `(S, V)` or `(S, D)` of a segment that begins at frame `start` of a recording.

        Returns its text, and its words if the model can time them.
        """
        if self.has_ctc:
            words = self.words(frames, start)
            return text_of(words), words
        (hypothesis,) = self.decode_rows([frames])
        return self.text(hypothesis.units), ()

    def words(self, frames: np.ndarray, start: int = 0, units: Sequence[int] | None = None) -> tuple[Word, ...]:
        """Time the words of one segment's `frames`, whose first is frame `start` of the recording.

        `units` is the hypothesis, if the segment has been decoded. Raises ConfigError for a model without CTC.
        """
        rows = self.unit_rows(frames)
        seconds_per_frame = self.stride / self.sample_rate
        path = rows.argmax(axis=1)
        if units is None and not self.by_best_path:
            (hypothesis,) = self.decode_rows([frames])
            units = hypothesis.units
        if units is not None:
            from asr.decoding.forced import best_states, exact_target  # imports numba, which best path does not need

            if (times := -(-required_frames(units) // max(1, len(rows)))) > 1:
                # A transducer may write more units than CTC has frames. Each frame then stands for several.
                rows, start, seconds_per_frame = rows.repeat(times, axis=0), start * times, seconds_per_frame / times
            target = exact_target(units)
            path = target.units[best_states(rows, target)]
        words = words_on_path(
            path,
            rows[np.arange(len(path)), path],
            self.units,
            spell=self.text,
            start=start,
            seconds_per_frame=seconds_per_frame,
        )
        if self.confidence is None:
            return words
        return tuple(replace(word, confidence=self.confidence(word.confidence)) for word in words)

    def recognize(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Transcribe waveforms `(N,)`, float32 at the model's sample rate, into texts, in their order."""
        if self.equalizes:
            waveforms = equalize(waveforms, self.sample_rate)
        texts = [""] * len(waveforms)
        for indices, rows in self.frame_rows([len(w) for w in waveforms], waveforms.__getitem__):
            for index, hypothesis in zip(indices, self.decode_rows(rows), strict=True):
                texts[index] = self.text(hypothesis.units)
        return texts

    @overload
    def transcribe(  # type: ignore[overload-overlap]  # an open file is an iterable too
        self,
        recording: "str | PathLike[str] | bytes | IO[bytes] | np.ndarray | Tensor | tuple[Any, Any] | dict[str, Any]",
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

    def restore(self, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
        """Set what tuning and training stored beside the network: decoder, calibration, thresholds, lengths.

        `tensors` are those of language models. Raises the errors of damaged parts.
        """
        if "lengths" in metadata:
            self.trained_lengths = TrainedLengths.model_validate(metadata["lengths"])
        if "decoding" in metadata:
            from asr.decoding.decoder import Decoder  # imports numba, which best path does not need

            self.decoder = Decoder.from_parts(self.units, tensors, metadata["decoding"])
            if self.is_transducer:
                if self.decoder.pruning.width > _MOST_WIDTH:
                    raise LanguageModelError(f"{self.decoder.pruning} is no beam that fits in memory")
                self.decoder = self.decoder.over(self._begin_search)
        if "confidence" in metadata:
            self.confidence = Calibration.model_validate(metadata["confidence"])
        if "phrases" in metadata:
            from asr.decoding.phrases import Rejection

            self.rejection = Rejection.model_validate(metadata["phrases"])


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
