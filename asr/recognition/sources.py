"""The recordings that `Recognizer.transcribe` takes: files, bytes, arrays, tensors, records of other libraries."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from numbers import Number
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np

from asr.audio import load_audio
from asr.equalize import Equalizer, equalize
from asr.errors import AudioError
from asr.recognition.interface import DecodingModel, FrameModel
from asr.recognition.longform import Piece, RecordingEnd, compute, cut, read_pieces
from asr.recognition.trained_lengths import piece_lengths
from asr.recognition.transcribe import shifted, transcripts
from asr.transcript import Transcript
from asr.utterance import Utterance

if TYPE_CHECKING:
    from asr.recognition.search import Search  # imports numba, which best path does not need

# A path, the bytes of a file or an open file, an array or a tensor, (rate, array) as of `scipy.io.wavfile.read`,
# (array, rate) as of `soundfile.read`, {"array": …, "sampling_rate": …} as of Hugging Face `datasets`.
Recording = str | os.PathLike[str] | bytes | IO[bytes] | np.ndarray | Any
Channel = int | Literal["mix"]


def is_recording(value: Any) -> bool:
    """Tell one recording from a collection of recordings."""
    if isinstance(value, str | os.PathLike | bytes | bytearray | memoryview | Mapping) or _is_array(value):
        return True
    return hasattr(value, "read") or _rate_and_array(value) is not None


def transcribe_recordings(
    model: DecodingModel,
    recordings: Iterable[Any],
    *,
    numbered: bool = True,
    sample_rate: int | None = None,
    channel: Channel | None = None,
    start: float = 0.0,
    end: float | None = None,
    search: "Search | None" = None,
    salvage: bool = False,
) -> Iterator[Transcript | AudioError]:
    """Transcribe recordings of any kind in their order, batched by length.

    Errors of a recording without a path begin with its number if recordings are `numbered`. `sample_rate` in Hz belongs
    to arrays without a rate of their own. `channel` counts from 1; "mix" is the average. `start` and `end` in seconds
    select a part of each recording. `salvage` reads what is there of truncated recordings. A recording without usable
    audio gives its AudioError.
    """
    offset, duration = _part(start, end)

    def pieces() -> Iterator[tuple[Path | None, Piece | RecordingEnd | AudioError]]:
        for index, recording in enumerate(recordings):
            prefix = f"recording {index + 1}: " if numbered else ""
            yield from read_recording(
                model,
                recording,
                prefix=prefix,
                sample_rate=sample_rate,
                channel=channel,
                offset=offset,
                duration=duration,
                salvage=salvage,
            )

    for audio, result in transcripts(model, compute(model, pieces()), search):
        if isinstance(result, AudioError):
            yield result
        else:
            number = channel if isinstance(channel, int) else None
            yield replace(shifted(result, offset), channel=number, audio=audio)


def read_recording(
    model: FrameModel,
    recording: Any,
    *,
    prefix: str = "",
    sample_rate: int | None = None,
    channel: Channel | None = None,
    offset: float = 0.0,
    duration: float | None = None,
    salvage: bool = False,
) -> Iterator[tuple[Path | None, Piece | RecordingEnd | AudioError]]:
    """Read one recording of any kind in pieces, each beside the path of the recording if it has one.

    `prefix` begins the messages of errors. `offset` and `duration` in seconds select a part.
    """
    with ExitStack() as stack:
        try:
            found = _resolve(recording, sample_rate, stack)
        except AudioError as error:
            yield None, AudioError(f"{prefix}{error}")
            return
        if isinstance(found, tuple):
            yield from _array_pieces(model, found, prefix, channel, offset, duration)
            return
        audio = found if isinstance(recording, str | os.PathLike) else None
        utterance = Utterance(str(found), found, offset=offset, duration=duration)
        equalizer = Equalizer.of_files([utterance], model.sample_rate, channel if isinstance(channel, int) else None)

        def equalized(samples: np.ndarray, _: int | None) -> np.ndarray:
            return equalizer(0, samples) if model.equalizes else samples

        for _, piece in read_pieces(
            utterance,
            channel or "mix",
            sample_rate=model.sample_rate,
            stride=model.stride,
            lengths=piece_lengths(model.trained_lengths, utterance=False),
            equalized=equalized,
            salvage=salvage,
        ):
            if isinstance(piece, AudioError) and audio is None:
                piece = AudioError(str(piece).replace(str(found), f"{prefix}bytes"), piece.fault)
            yield audio, piece


def load_recording(recording: Any, sample_rate: int, *, source_rate: int | None = None) -> np.ndarray:
    """Load one recording of any kind: its samples, float32, mono, `(N,)`, at `sample_rate` Hz.

    `source_rate` in Hz belongs to an array without a rate of its own. Raises AudioError as `load_audio` does.
    """
    with ExitStack() as stack:
        found = _resolve(recording, source_rate, stack)
        if isinstance(found, tuple):
            return load_audio(found[0], sample_rate, source_rate=found[1])
        return load_audio(found, sample_rate)


def _part(start: float, end: float | None) -> tuple[float, float | None]:
    """Return offset and duration of the part from `start` to `end`. Raises AudioError for an empty part."""
    if start < 0 or (end is not None and end <= start):
        raise AudioError(f"start={start}, end={end}: must be seconds, start from 0 on and end after it")
    return start, None if end is None else end - start


def _array_pieces(
    model: FrameModel,
    array: tuple[Any, int],
    prefix: str,
    channel: Channel | None,
    offset: float,
    duration: float | None,
) -> Iterator[tuple[None, Piece | RecordingEnd | AudioError]]:
    rate = model.sample_rate
    try:
        samples = load_audio(array[0], rate, source_rate=array[1], offset=offset, duration=duration, channel=channel)
    except AudioError as error:
        yield None, AudioError(f"{prefix}{error}", error.fault)
        return
    if model.equalizes:
        (samples,) = equalize([samples], rate)

    def read(begin: float, length: float | None) -> np.ndarray:
        first = round(begin * rate)
        return samples[first : None if length is None else first + round(length * rate)]

    lengths = piece_lengths(model.trained_lengths, utterance=False)
    for piece in cut(read, len(samples) / rate, sample_rate=rate, stride=model.stride, lengths=lengths):
        yield None, piece


def _resolve(recording: Any, sample_rate: int | None, stack: ExitStack) -> Path | tuple[Any, int]:
    """Turn a recording into the path of a file, or into an array and its rate.

    Bytes become a temporary file that lasts as long as `stack`.
    """
    if isinstance(recording, str | os.PathLike):
        return Path(os.fspath(recording))
    if isinstance(recording, bytes | bytearray | memoryview) or hasattr(recording, "read"):
        content = recording if not hasattr(recording, "read") else recording.read()
        if isinstance(content, str):
            raise AudioError('a file opened as text; open it as bytes: open(path, "rb")')
        file = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asr-"))) / "recording"
        file.write_bytes(content)
        return file
    if isinstance(recording, Mapping):
        return _from_mapping(recording, stack)
    if (pair := _rate_and_array(recording)) is not None:
        return pair[1], pair[0]
    if not _is_array(recording):
        raise AudioError(
            f"a {type(recording).__name__} is no recording; pass a path, bytes, an open file, an array or a tensor"
        )
    if sample_rate is None:
        raise AudioError("an array without a sample rate; pass sample_rate=… in Hz, or (rate, array)")
    return recording, sample_rate


def _from_mapping(recording: Mapping[str, Any], stack: ExitStack) -> Path | tuple[Any, int]:
    if recording.get("array") is not None and recording.get("sampling_rate") is not None:
        return np.asarray(recording["array"]), int(recording["sampling_rate"])
    if recording.get("bytes") is not None:
        return _resolve(recording["bytes"], None, stack)
    if recording.get("path") is not None:
        return Path(recording["path"])
    raise AudioError(
        f"a record with the keys {', '.join(map(str, recording)) or '(none)'}; "
        'it needs "array" and "sampling_rate", or "bytes", or "path"'
    )


def _rate_and_array(value: Any) -> tuple[int, Any] | None:
    """Return rate and array of a tuple that holds the two in either order; None for anything else."""
    if not isinstance(value, tuple) or len(value) != 2:
        return None
    first, second = value
    for rate, array in ((first, second), (second, first)):
        if isinstance(rate, Number) and not isinstance(rate, bool) and _is_array(array) and np.ndim(array) > 0:
            return int(rate), array  # type: ignore[call-overload]
    return None


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "detach") or hasattr(value, "__array_interface__")
