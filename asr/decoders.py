"""Decoders of recordings: soundfile where its answer can be trusted, else PyAV, which carries FFmpeg.

Soundfile reads formats whose number of samples is certain. It believes the estimated length of an MP3, and it stops
after the first of several streams. PyAV decodes these files, and all other containers, to their end.
"""

import io
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import soundfile

from asr.containers import (
    HEAD,
    Layout,
    Spliced,
    container_of,
    flac_is_simple,
    layout_of,
    mp3_seconds,
    not_audio,
    ogg_layout,
)
from asr.errors import AudioError
from asr.extras import install_command

logger = logging.getLogger(__name__)

MIN_RATE = 1000  # Hz
TOLERANCE = 0.1  # seconds that a header may be wrong by
_BLOCK_VALUES = 2**15  # samples of all channels in a block
_KEPT_SECONDS = 80.0  # seconds before the last block that a PyAV decoder can go back to; the parts of longform overlap
_FINE = ("FLOAT", "DOUBLE", "PCM_24", "PCM_32")  # subtypes with more than 16 bits
# Demuxers of recordings. A playlist or a list of files must not make the decoder open other files or addresses.
_DEMUXERS = (
    "wav,w64,aiff,caf,au,flac,ogg,mp3,aac,loas,mov,matroska,asf,amr,amrnb,amrwb,avi,ac3,eac3,dts,ape,wv,tta,tak,mpc,"
    "mpc8,mpeg,mpegts,flv,voc,gsm,ircam,nistsphere,iff,avr,epaf,dsf,rm,oma,xwma,shn,sox,smjpeg,mmf,ea,3dostr,act,g722"
)
_PACKET_SECONDS = 0.03  # assumed length of a packet that cannot be decoded
_TIMED = ("mov", "matroska", "asf", "flac")  # demuxers whose durations are stated, not estimated


class Decoder(Protocol):
    """A file that gives its samples from any position on."""

    sample_rate: int  # Hz
    channels: int
    is_fine: bool  # more than 16 bits

    def blocks(self, start: int) -> Iterator[np.ndarray]:
        """Yield float32 blocks `(N, channels)` from sample `start` to the end of what can be decoded."""


class Recording:
    """An open recording. One thread reads it at a time."""

    def __init__(
        self,
        path: Path,
        decoder: Decoder,
        *,
        stated: float | None,
        exact: int | None,
        cut: str = "",
        doubt: str = "",
        salvage: bool = False,
    ) -> None:
        """`stated` seconds are in the header. `exact` is the number of samples if it is certain before decoding.

        `cut` tells how the file shows that its end is missing. `doubt` is a sign that the end may be missing: it is
        logged. With `salvage`, damage is logged instead of raised.
        """
        self.path, self.salvage = path, salvage
        self.sample_rate, self.channels, self.is_fine = decoder.sample_rate, decoder.channels, decoder.is_fine
        self.gain: float | None = None  # chosen for the first part that is not silent: see `load_audio`
        self.doubt = doubt  # about the length; the comparison with the header may add one at the end of the data
        self._decoder, self._stated, self._exact, self._cut = decoder, stated, exact, cut
        self._logged: set[str] = set()

    @property
    def seconds(self) -> float | None:
        """Return the length without decoding: certain or as the header states it; None if neither is known."""
        return self._stated if self._exact is None else self._exact / self.sample_rate

    def frames(self) -> int:
        """Count the samples of a channel, by decoding where the header cannot be trusted.

        Raises AudioError as `blocks` does at the end of the data.
        """
        if self._exact is None:
            self._exact = sum(map(len, self.blocks()))
        self._require_whole(self._exact)
        return self._exact

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yield samples `start` to `stop` (default: the end) as float32 blocks `(N, channels)`.

        Raises AudioError, after the blocks that can be decoded, for a value that is not finite, for damage, and if the
        data ends before `stop` and holds fewer samples than the header states.
        """
        position = start
        for block in self._decoder.blocks(start):
            block = block if stop is None else block[: stop - position]
            if not np.isfinite(block).all():
                first = position + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
                raise AudioError(
                    f"{self.path}: sample {first} is not a finite number (NaN or infinity); export the recording again"
                )
            yield block
            position += len(block)
            if stop is not None and position >= stop:
                return
        if position > start or start == 0:
            self._require_whole(position)

    def log_once(self, level: int, message: str) -> None:
        """Log a message that begins with the path of the recording, the first time only."""
        if message not in self._logged:
            self._logged.add(message)
            logger.log(level, "%s: %s", self.path, message)

    def _require_whole(self, end: int) -> None:
        """Compare the end of the data with the header. Raises AudioError if more than 0.1 s is missing."""
        held = end / self.sample_rate
        if self._stated is not None and held > self._stated + TOLERANCE:
            self.doubt = f"its header states {self._stated:.1f} s, the file holds {held:.1f} s"
        if self._stated is not None and held < self._stated - TOLERANCE:
            found = f"its header promises {self._stated:.1f} s, the data holds {held:.1f} s"
        elif self._cut:
            found = f"{self._cut}, the data holds {held:.1f} s"
        else:
            if self.doubt:
                self.log_once(logging.WARNING, f"{self.doubt}; all is read")
            return
        if not self.salvage:
            raise AudioError(
                f"{self.path}: truncated: {found}; copy it again from its source, or transcribe what is there: "
                "--salvage",
                "truncated",
            )
        self.log_once(logging.WARNING, f"truncated: {found}; what is there is read")


@contextmanager
def open_recording(path: Path, *, content: bytes | None = None, salvage: bool = False) -> Iterator[Recording]:
    """Open a recording of any format. Its content decides, never its name.

    With `content`, the recording is these bytes, and `path` is its name in messages. Raises AudioError, with its
    `fault`, for a file that is missing, empty, without samples or not a recording.
    """
    with ExitStack() as stack:
        try:
            if content is None:
                _require_file(path)
            elif not content:
                raise AudioError(f"{path}: is empty (0 bytes); copy it again from its source", "zero length")
            file: BinaryIO = path.open("rb") if content is None else io.BytesIO(content)
            stack.enter_context(file)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = getattr(error, "strerror", None) or error
            raise AudioError(f"{path}: cannot be opened: {reason}; check its name and permissions") from None
        head = file.read(HEAD)
        recording = _open(path, file, head, stack, salvage)
        if recording.sample_rate < MIN_RATE:  # resampling an hour from 1 Hz would fill the memory
            raise AudioError(
                f"{path}: its header states {recording.sample_rate} Hz, at least {MIN_RATE} Hz are required; export it "
                "again"
            )
        yield recording


def _open(path: Path, file: BinaryIO, head: bytes, stack: ExitStack, salvage: bool) -> Recording:
    container, layout, cut, doubt = container_of(head), layout_of(file), "", ""
    stated = exact = None
    trusted = container not in ("MP3", "AAC")
    if layout is not None:
        if not any(end > begin for begin, end in layout.parts):
            what = "without audio data" if not layout.parts else "and 0 samples"
            raise AudioError(f"{path}: a {container} header {what}; record or export it again", "header only")
        stated = layout.stated
    elif container == "FLAC":
        trusted = flac_is_simple(file)
    elif container == "Ogg":
        pages = ogg_layout(file)
        trusted = pages.streams == 1
        cut = "the file ends inside a page" if pages.is_cut else ""
        doubt = "" if pages.is_ended or cut else "its last page is not marked as the last: its end may be missing"
    reason = "its length is not certain"
    decoder: Decoder | None = None
    if trusted:
        try:
            sound = _SoundFile(path, lambda: _rewound(file, layout), _in_memory(file), salvage)
            stack.callback(sound.close)
        except (soundfile.LibsndfileError, TypeError) as error:
            reason = _reason(error)
        else:
            if sound.format == "MP3":  # without the usual beginning; soundfile would estimate its length
                trusted, container = False, "MP3"
            else:
                decoder = sound
                if layout is None or layout.held == 0:
                    stated = None if sound.format == "OGG" else sound.frames / sound.sample_rate
                is_counted = sound.format not in ("FLAC", "OGG") or not (salvage or cut)
                exact = sound.frames if is_counted else None
                if sound.frames == 0:
                    raise _nothing_in(path, cut)
    if decoder is None:
        av_decoder = _AvDecoder(path, _in_memory(file), salvage)
        av_decoder.open(head, reason, cut)
        decoder = av_decoder
        stack.callback(av_decoder.close)
        if layout is None:
            stated = (mp3_seconds(file) if container == "MP3" else None) or av_decoder.stated
    return Recording(path, decoder, stated=stated, exact=exact, cut=cut, doubt=doubt, salvage=salvage)


def _in_memory(file: BinaryIO) -> bytes | None:
    return file.getvalue() if isinstance(file, io.BytesIO) else None


def _rewound(file: BinaryIO, layout: Layout | None) -> Any:
    """Return what soundfile opens: a descriptor, which needs no name, bytes, or the file under a corrected header."""
    if layout is not None and layout.header is not None:
        return Spliced(file, layout.header, layout.parts)
    if isinstance(file, io.BytesIO):
        return io.BytesIO(file.getvalue())  # without a copy
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # `file.seek` may move only within its buffer
    return file.fileno()


class _SoundFile:
    """Decoder by soundfile. It seeks exactly. Where it meets damage, PyAV decodes the rest."""

    def __init__(self, path: Path, source: Callable[[], Any], content: bytes | None, salvage: bool) -> None:
        """`source` returns the file at its beginning, as soundfile opens it; `content` holds it if it is in memory."""
        self._path, self._content, self._salvage, self._source = path, content, salvage, source
        self._file = soundfile.SoundFile(source(), closefd=False)
        self._position = 0
        self.format, self.frames = self._file.format, self._file.frames
        self.sample_rate, self.channels = self._file.samplerate, self._file.channels
        self.is_fine = self._file.subtype in _FINE

    def close(self) -> None:
        self._file.close()

    def blocks(self, start: int) -> Iterator[np.ndarray]:
        try:
            if start >= self.frames:
                return
            self._seek(start)
            while len(block := self._read(_BLOCK_VALUES // self.channels)):
                yield block
        except soundfile.LibsndfileError as error:
            reason = _reason(error)
        else:
            return
        rest = _AvDecoder(self._path, self._content, self._salvage)
        try:
            rest.open(b"", reason, "")
            if (rest.sample_rate, rest.channels) == (self.sample_rate, self.channels):
                yield from rest.blocks(self._position)
        except AudioError as error:
            if error.fault == "damaged":
                raise
            raise AudioError(f"{self._path}: damaged: {reason}; copy it again from its source") from None
        finally:
            rest.close()

    def _seek(self, start: int) -> None:
        if start == self._position:
            return
        if self._file.seekable():
            self._file.seek(start)
            self._position = start
            return
        if start < self._position:  # some forms of ADPCM go forward only
            self._file.close()
            self._file, self._position = soundfile.SoundFile(self._source(), closefd=False), 0
        while self._position < start and len(self._read(min(_BLOCK_VALUES // self.channels, start - self._position))):
            pass

    def _read(self, count: int) -> np.ndarray:
        block: np.ndarray = self._file.read(count, dtype="float32", always_2d=True)
        self._position += len(block)
        return block


class _AvDecoder:
    """Decoder by PyAV. It goes forward, and back by `_KEPT_SECONDS`; further back it begins again."""

    def __init__(self, path: Path, content: bytes | None, salvage: bool) -> None:
        self._path, self._content, self._salvage = path, content, salvage
        self.sample_rate = self.channels = 0
        self.is_fine = False
        self.stated: float | None = None  # seconds
        self._decoded: Iterator[np.ndarray] = iter(())
        self._kept: deque[np.ndarray] = deque()  # the last blocks
        self._position = self._held = 0  # samples decoded so far, and how many of them are in `_kept`

    def open(self, head: bytes, reason: str, cut: str) -> None:
        """Decode the first block. Raises AudioError, with soundfile's `reason`, if there is none."""
        try:
            import av
        except ModuleNotFoundError:
            raise AudioError(
                f"{self._path}: is read by PyAV, which is missing: {install_command('data')}; or convert it to WAV"
            ) from None
        try:
            self._begin()
            if self._next() is not None:
                return
            error: Exception | None = None
        except (av.error.FFmpegError, OSError, ValueError, IndexError) as failure:
            error = failure
        if cut:
            raise _nothing_in(self._path, cut)
        if (what := not_audio(head)) is not None:
            raise AudioError(f"{self._path}: is {what}")
        what = "is not a recording" if container_of(head) is None else "cannot be decoded"
        details = f"{reason}; FFmpeg: {getattr(error, 'strerror', None) or error or 'no samples'}"
        raise AudioError(f"{self._path}: {what} ({details}); give a recording, or convert it to WAV")

    def close(self) -> None:
        self._decoded = iter(())
        self._kept.clear()

    def blocks(self, start: int) -> Iterator[np.ndarray]:
        if start < self._position - self._held:
            self._begin()
        position = self._position - self._held
        for block in list(self._kept):
            if position + len(block) > start:
                yield block[max(start - position, 0) :]
            position += len(block)
        while (later := self._next()) is not None:
            if self._position > start:
                yield later[max(start - self._position + len(later), 0) :]

    def _begin(self) -> None:
        self._decoded, self._position, self._held = self._decode(), 0, 0
        self._kept.clear()

    def _next(self) -> np.ndarray | None:
        block = next(self._decoded, None)
        if block is None:
            return None
        self._kept.append(block)
        self._position += len(block)
        self._held += len(block)
        while self._held - len(self._kept[0]) > _KEPT_SECONDS * self.sample_rate:
            self._held -= len(self._kept.popleft())
        return block

    def _decode(self) -> Iterator[np.ndarray]:
        """Yield blocks of the first audio stream, joined from packets to about a second."""
        joined: list[np.ndarray] = []
        held = 0
        try:
            for samples in self._frames():
                joined.append(samples)
                held += len(samples)
                if held * self.channels >= _BLOCK_VALUES:
                    yield np.concatenate(joined)
                    joined, held = [], 0
        except AudioError:
            if joined:
                yield np.concatenate(joined)
            raise
        if joined:
            yield np.concatenate(joined)

    def _frames(self) -> Iterator[np.ndarray]:
        """Yield the samples `(N, channels)` of each frame. Raises AudioError for damage of more than 0.1 s."""
        import av

        decoded, lost = 0, 0.0
        options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": ""}
        with ExitStack() as stack:
            file = stack.enter_context(self._path.open("rb") if self._content is None else io.BytesIO(self._content))
            container = stack.enter_context(av.open(file, "r", options=options, metadata_errors="ignore"))
            if container.streams and not container.streams.audio:
                held = " and ".join(sorted({stream.type for stream in container.streams}))
                raise AudioError(f"{self._path}: has no sound, only {held}; give the recording of its sound")
            stream = container.streams.audio[0]
            self.stated = _stated_seconds(container, stream)
            packets = container.demux(stream)
            while True:
                try:
                    frames = next(packets).decode()
                except (StopIteration, av.error.EOFError):
                    return
                except av.error.FFmpegError:
                    lost += _PACKET_SECONDS
                    if decoded and lost > TOLERANCE and not self._salvage:
                        raise AudioError(
                            f"{self._path}: damaged: packets after {decoded / self.sample_rate:.1f} s cannot be "
                            "decoded; copy it again from its source, or transcribe what is there: --salvage",
                            "damaged",
                        ) from None
                    continue
                for frame in frames:
                    self._require_format(frame, stream.codec_context.name, decoded)
                    decoded += frame.samples
                    yield _float_samples(frame)

    def _require_format(self, frame: Any, codec: str, decoded: int) -> None:
        """Take the format of the first frame. Raises AudioError if a later frame has another format."""
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if not decoded:
            self.sample_rate, self.channels = rate, channels
            self.is_fine = frame.format.bytes > 2 and (codec.startswith("pcm_") or codec in ("flac", "alac"))
        elif (rate, channels) != (self.sample_rate, self.channels):
            raise AudioError(
                f"{self._path}: changes after {decoded / self.sample_rate:.1f} s from {self.sample_rate} Hz and "
                f"{self.channels} channels to {rate} Hz and {channels} channels; divide it there"
            )


def _stated_seconds(container: Any, stream: Any) -> float | None:
    """Return the duration that a container states; None where FFmpeg would estimate it."""
    if container.format.name.split(",")[0] not in _TIMED:
        return None
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return float(container.duration / 1e6)  # microseconds
    return None


def _float_samples(frame: Any) -> np.ndarray:
    """Return the samples of a frame as float32 `(N, channels)` in [-1, 1]."""
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128) / np.float32(128)
    if values.dtype.kind == "i":
        return values.astype(np.float32) / np.float32(2 ** (8 * values.dtype.itemsize - 1))
    return np.ascontiguousarray(values, np.float32)


def _require_file(path: Path) -> None:
    if path.is_dir():
        next(path.iterdir(), None)  # an OSError for a folder that cannot be read, in which recordings may be
        raise AudioError(f"{path}: is a folder, not a recording; give the files in it")
    if not path.exists():
        if path.is_symlink():
            raise AudioError(f"{path}: is a link to {path.readlink()}, which does not exist; copy the file itself",
                             "missing audio")  # fmt: skip
        raise AudioError(f"{path}: no such file; correct the path, or remove the line", "missing audio")
    if not path.is_file():  # opening a pipe could wait for ever
        raise AudioError(f"{path}: is a device or a pipe, not a recording; give a file")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: is empty (0 bytes); copy it again from its source", "zero length")


def _nothing_in(path: Path, cut: str) -> AudioError:
    if cut:
        return AudioError(
            f"{path}: truncated: {cut}, and nothing can be decoded; copy it again from its source", "truncated"
        )
    return AudioError(f"{path}: has a header and 0 samples; record or export it again", "header only")


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).rstrip(".")
