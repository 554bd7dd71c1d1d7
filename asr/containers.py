"""Containers of uncompressed audio and of MP3: where the samples lie, and how long the header states them to be.

Headers are wrong in known ways. A program that writes into a pipe cannot state a size; a 32-bit size overflows at 4 GB;
a copy that broke off is shorter than its header. This module finds what a file holds by the size of the file, and
keeps both numbers, so that a reader can compare them.
"""

import io
import mmap
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

Part = tuple[int, int]  # first byte and end of samples in a file

_PCM_TAGS = {0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE}  # WAV: integers, floats, A-law, µ-law, extensible
_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # bytes per sample of an AU encoding
_AIFF_PLAIN = (b"", b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64", b"ulaw", b"ULAW", b"alaw", b"ALAW")
_TRAILERS = (b"ID3", b"TAG", b"APETAG", b"LYRICS")  # tags that programs append without a chunk around them
_NEAR = 2**16  # bytes: a size so close to 2 GB or 4 GB is a placeholder, not a size
_LARGEST_CHUNK = 2**32 - 2**20  # bytes that 32-bit sizes can state, with room for the header
_SHORT = 0.1  # seconds of samples that are not worth a message

_MAGIC = {
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"ID3": "MP3",
    b"RIFX": "RIFX",
    b"RF64": "RF64",
    b"BW64": "RF64",
    b"riff\x2e\x91\xcf\x11": "W64",
    b"FORM": "AIFF",
    b"caff": "CAF",
    b".snd": "AU",
    b"NIST_1A": "NIST SPHERE",
    b"Creative Voice File": "VOC",
    b"wvpk": "WavPack",
    b"#!AMR": "AMR",
    b"MAC ": "Monkey's Audio",
    b"TTA1": "TTA",
    b"\x1a\x45\xdf\xa3": "Matroska or WebM",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "WMA",
}
_NOT_AUDIO = {
    b"<!DOCTYPE": "an HTML page; the download failed",
    b"<html": "an HTML page; the download failed",
    b"version https://git-lfs": "a Git LFS pointer; get the file itself: git lfs pull",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive; unpack it",
    b"\x1f\x8b": "a gzip archive; unpack it",
}
HEAD = 4096  # bytes that `container_of` needs at most


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the samples of a file lie, and how many seconds of samples its header states."""

    parts: Sequence[Part]
    stated: float | None  # seconds; None if the header states no size, or one that cannot be true
    held: float  # seconds in `parts`
    header: bytes | None = None  # stands in place of the header if libsndfile would read something else than `parts`


@dataclass(frozen=True, slots=True)
class OggLayout:
    """The layout of an Ogg file, read from its pages: the number of streams, and how the file ends."""

    streams: int
    is_cut: bool  # the file ends inside a page or a packet
    is_ended: bool  # the last page has the flag "end of stream"; a copy that broke off between two pages has not


def container_of(head: bytes) -> str | None:
    """Name the container of a file by its first bytes (`HEAD` of them suffice); None if they belong to no container."""
    if head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b"AVI "):
        return "WAV" if head[8:12] == b"WAVE" else "AVI"
    if head[4:8] == b"ftyp":
        return "MP4 or M4A"
    for magic, name in _MAGIC.items():
        if head.startswith(magic) and head[:4] != b"RIFF":
            return name
    if _frames_follow(head, _mp3_frame):
        return "MP3"
    return "AAC" if _frames_follow(head, _adts_frame) else None


def not_audio(head: bytes) -> str | None:
    """Name what a file is that is known to be no recording, with the cure; None for everything else."""
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it (tar -xf), or train on its folder with data.stream: true if asr pack wrote it"
    head = head.lstrip()
    return next((name for magic, name in _NOT_AUDIO.items() if head[: len(magic)].lower() == magic.lower()), None)


def layout_of(file: BinaryIO) -> Layout | None:
    """Find the samples of a WAV, RIFX, RF64, W64, AIFF, AU, CAF or NIST SPHERE file; None for any other file.

    A file without a data chunk has no parts. `held` and `stated` are counted by the header's bytes per second.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(1024)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _riff(file, head[:4], 0, size)
    if head.startswith(b"riff\x2e\x91\xcf\x11"):
        return _wave64(file, size)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(file, size)
    if head[:4] == b"caff":
        return _caf(file, size)
    if head[:4] == b".snd" and len(head) >= 24:
        return _au(head, size)
    if head.startswith(b"NIST_1A\n"):
        return _sphere(head, size)
    return None


def ogg_layout(file: BinaryIO) -> OggLayout:
    """Walk over the pages of an Ogg file."""
    streams, is_cut, is_ended, position = 0, False, False, 0
    with _content(file) as data:
        while data[position : position + 4] == b"OggS":
            page = data[position : position + 27]
            lacing = data[position + 27 : position + 27 + page[26]] if len(page) == 27 else b""
            if len(page) < 27 or len(lacing) < page[26]:
                return OggLayout(streams, True, False)
            streams += bool(page[5] & 2)
            is_ended = bool(page[5] & 4)
            is_cut = bool(lacing) and lacing[-1] == 255  # 255: the packet goes on
            position += 27 + len(lacing) + sum(lacing)
        return OggLayout(streams, is_cut or position > len(data) or position == 0, is_ended)


def flac_is_simple(file: BinaryIO) -> bool:
    """Tell whether a FLAC file is one stream, begins with its own header, and states how many samples it has."""
    with _content(file) as data:
        total = int.from_bytes(data[21:26], "big") & (2**36 - 1)
        first = data[:4] == b"fLaC" and data[8:10] != b""
        another = max(data.find(b"fLaC\x00\x00\x00\x22", 4), data.find(b"fLaC\x80\x00\x00\x22", 4))
    return first and total > 0 and another < 0


@contextmanager
def _content(file: BinaryIO) -> Iterator[bytes | mmap.mmap]:
    """Give the block all bytes of a file, which are mapped unless they are in memory already."""
    if isinstance(file, io.BytesIO):
        yield file.getvalue()
    else:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def mp3_seconds(file: BinaryIO) -> float | None:
    """Return the seconds that the Xing or Info header of an MP3 file states; None without that header."""
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    file.seek(start)
    data = file.read(2**16)
    for position in range(len(data) - 200):
        if data[position] == 0xFF and (frame := _mp3_frame(data[position : position + 4])):
            break
    else:
        return None
    length, rate, samples = frame
    for tag in (b"Xing", b"Info"):
        at = data.find(tag, position, position + min(length, 48))
        if at > 0:
            flags, frames = struct.unpack(">II", data[at + 4 : at + 12])
            if not flags & 1 or not frames:
                return None
            fields = at + 8 + 4 * bool(flags & 1) + 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8)
            gap = int.from_bytes(data[fields + 21 : fields + 24], "big")  # 12 bits of delay, 12 of padding
            return max(frames * samples - (gap >> 12) - (gap & 0xFFF), 0) / rate
    return None


class Spliced(io.RawIOBase):
    """File that consists of a header from memory and parts of another file."""

    def __init__(self, file: BinaryIO, header: bytes, parts: Sequence[Part]) -> None:
        self._file, self._header = file, header
        self._parts = [(begin, end) for begin, end in parts if end > begin]
        self._size = len(header) + sum(end - begin for begin, end in self._parts)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        found = self._read_at(self._position, len(view))
        view[: len(found)] = found
        self._position += len(found)
        return len(found)

    def _read_at(self, position: int, count: int) -> bytes:
        """Read at most `count` bytes from one piece; a reader asks again for the next piece."""
        if position < len(self._header):
            return self._header[position : position + count]
        position -= len(self._header)
        for begin, end in self._parts:
            if position < end - begin:
                self._file.seek(begin + position)
                return self._file.read(min(count, end - begin - position))
            position -= end - begin
        return b""


@dataclass(slots=True)
class _Data:
    """The facts about the samples that a parser has read so far."""

    per_second: float  # bytes
    parts: list[Part] = field(default_factory=list)
    stated: int | None = 0  # bytes; None once one size is unknown

    def add(self, start: int, length: int, size: int, *, leftover: bool) -> int:
        """Add a data chunk that states `length` bytes in a file of `size` bytes; return where the chunk ends.

        `leftover` tells that the bytes after the chunk are neither a chunk nor a tag, so that they may be samples.
        """
        rest = max(size - start, 0)
        surplus = rest - length
        if is_unknown(length) and length not in range(1, rest + 1):
            end, stated = size, None
        elif leftover and surplus > _SHORT * self.per_second:
            end = size
            stated = None if size > _LARGEST_CHUNK else length  # a larger size overflows 32 bits
        else:
            end, stated = start + min(length, rest), length
        self.parts.append((start, end))
        self.stated = None if stated is None or self.stated is None else self.stated + stated
        return end

    def layout(self, header: bytes | None) -> Layout:
        held = sum(end - begin for begin, end in self.parts)
        stated = None if self.stated is None else self.stated / self.per_second
        return Layout(self.parts, stated, held / self.per_second, header)


def is_unknown(size: int) -> bool:
    """Tell whether a size stands for "unknown": 0, or within 64 kB of 2 GB or of 4 GB."""
    return size <= 0 or min(abs(size - 2**31), abs(size - 2**32)) <= _NEAR


def _riff(file: BinaryIO, magic: bytes, begin: int, size: int) -> Layout:
    order = ">" if magic == b"RIFX" else "<"
    position, large, fmt = begin + 12, None, b""
    data: _Data | None = None
    first_size = 0
    while position + 8 <= size:
        file.seek(position)
        kind, length = struct.unpack(f"{order}4sI", file.read(8))
        start = position + 8
        if data is not None and not _is_chunk(kind, length, size - start):
            break
        if kind == b"fmt " and not fmt:
            fmt = file.read(min(length, 2**16))
        elif kind == b"ds64":
            fields = file.read(16)
            large = struct.unpack("<QQ", fields)[1] if len(fields) == 16 else None
        elif kind in (b"RIFF", b"RIFX", b"RF64") and data is not None and file.read(4) == b"WAVE":
            position = start + 4  # one file after another
            continue
        elif kind == b"data" and (rate := _wave_bytes_per_second(fmt, order)):
            length = large if large is not None and length == 2**32 - 1 else length
            data = data or _Data(rate)
            leftover = not _goes_on(file, order, start + length, size)
            empty = length == 0 and start < size and not leftover
            end = start if empty else data.add(start, length, size, leftover=leftover)
            first_size = first_size or length
            position = end + (end - start) % 2
            continue
        position = start + length + length % 2
    if data is None or not data.parts:
        return Layout((), None, 0.0)
    (first, end), *others = data.parts
    if not others and end == min(first + first_size, size) and first_size:
        return data.layout(None)
    total = sum(stop - start for start, stop in data.parts)
    return data.layout(_wave_header(fmt, total, order))


def _wave_header(fmt: bytes, total: int, order: str) -> bytes:
    """Build the header of a WAV file of `total` bytes of samples, as RF64 if 32-bit sizes do not suffice."""
    form = struct.pack(f"{order}4sI", b"fmt ", len(fmt)) + fmt + b"\0" * (len(fmt) % 2)
    if total <= _LARGEST_CHUNK:
        magic = b"RIFX" if order == ">" else b"RIFF"
        riff = struct.pack(f"{order}4sI4s", magic, min(total + len(form) + 12, 2**32 - 1), b"WAVE")
        return riff + form + struct.pack(f"{order}4sI", b"data", total)
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, total + len(form) + 48, total, 0, 0)
    return b"RF64\xff\xff\xff\xffWAVE" + sizes + form + b"data\xff\xff\xff\xff"


def _wave_bytes_per_second(fmt: bytes, order: str) -> float:
    if len(fmt) < 16:
        return 0.0
    tag, channels, rate, per_second, _, bits = struct.unpack_from(f"{order}HHIIHH", fmt)
    return rate * channels * ((bits + 7) // 8) if tag in _PCM_TAGS else per_second


def _is_chunk(kind: bytes, length: int, rest: int) -> bool:
    return all(32 <= letter < 127 for letter in kind) and (length <= rest or is_unknown(length))


def _goes_on(file: BinaryIO, order: str, position: int, size: int) -> bool:
    """Tell whether at `position` the file ends, or a chunk or a tag begins, also after a byte of padding."""
    for start in (position, position + 1):
        if start >= size:
            return True
        file.seek(start)
        head = file.read(12)
        if head.startswith(_TRAILERS):
            return True
        if len(head) >= 8 and _is_chunk(head[:4], struct.unpack(f"{order}I", head[4:8])[0], size - start - 8):
            return True
    return False


def _wave64(file: BinaryIO, size: int) -> Layout:
    position, fmt = 40, b""
    while position + 24 <= size:
        file.seek(position)
        kind, length = struct.unpack("<4s12xq", file.read(24))
        start = position + 24
        if kind == b"fmt ":
            fmt = file.read(min(max(length - 24, 0), 2**16))
        elif kind == b"data" and (rate := _wave_bytes_per_second(fmt, "<")):
            data = _Data(rate)
            promised = max(length - 24, 0)
            end = data.add(start, promised, size, leftover=False)
            plain = end == min(start + promised, size)
            return data.layout(None if plain else _wave_header(fmt, end - start, "<"))
        position += max(length, 24) + -length % 8
    return Layout((), None, 0.0)


def _aiff(file: BinaryIO, size: int) -> Layout:
    position, common, rate = 12, -1, 0.0
    channels = bits = 0
    while position + 8 <= size:
        file.seek(position)
        kind, length = struct.unpack(">4sI", file.read(8))
        start = position + 8
        if kind == b"COMM" and len(content := file.read(min(length, 22))) >= 18:
            common = start
            channels, _, bits, exponent, mantissa = struct.unpack(">HIHHQ", content[:18])
            rate = mantissa * 2.0 ** (exponent - 16383 - 63)
            bits = 8 if content[18:22].lower() in (b"ulaw", b"alaw") else bits
            if content[18:22] not in _AIFF_PLAIN:
                rate = 0.0  # compressed: the size tells nothing of seconds
        elif kind == b"SSND" and common > 0:
            per_second = rate * channels * ((bits + 7) // 8)
            if not per_second:
                return Layout(((start, size),), None, 0.0)
            data = _Data(per_second)
            promised = length - 8 if length >= 8 and not is_unknown(length) else 0
            leftover = not _goes_on(file, ">", start + length, size)
            end = data.add(start + 8, promised, size, leftover=leftover)
            if end == min(start + 8 + promised, size) and promised:
                return data.layout(None)
            file.seek(0)
            header = bytearray(file.read(start + 8))
            total = end - start - 8
            struct.pack_into(">I", header, 4, min(total + start, 2**32 - 1))
            struct.pack_into(">I", header, common + 2, int(total / per_second * rate))
            struct.pack_into(">I", header, start - 4, min(total + 8, 2**32 - 1))
            return data.layout(bytes(header))
        position = start + length + length % 2
    return Layout((), None, 0.0)


def _caf(file: BinaryIO, size: int) -> Layout:
    position, rate, per_packet, frames = 8, 0.0, 0, 1
    while position + 12 <= size:
        file.seek(position)
        kind, length = struct.unpack(">4sq", file.read(12))
        start = position + 12
        if kind == b"desc" and len(content := file.read(24)) == 24:
            rate, per_packet, frames = struct.unpack(">d8xII", content)
        elif kind == b"data":
            per_second = rate * per_packet / max(frames, 1)
            if not per_second:  # packets of different sizes
                return Layout(((start, size),), None, 0.0)
            data = _Data(per_second)
            data.add(start + 4, length - 4 if length > 0 else 0, size, leftover=False)
            file.seek(0)
            header = bytearray(file.read(start + 4))
            struct.pack_into(">q", header, start - 8, size - start)
            return data.layout(bytes(header) if data.stated is None else None)
        position = start + max(length, 0)
    return Layout((), None, 0.0)


def _au(head: bytes, size: int) -> Layout:
    offset, length, encoding, rate, channels = struct.unpack(">5I", head[4:24])
    per_second = rate * channels * _AU_BYTES.get(encoding, 0)
    if not per_second:
        return Layout(((offset, size),), None, 0.0)
    data = _Data(per_second)
    end = data.add(offset, length, size, leftover=True)
    if end == min(offset + length, size) and length:
        return data.layout(None)
    header = head[:8] + struct.pack(">I", min(end - offset, 2**32 - 1)) + head[12:offset]
    return data.layout(header + bytes(offset - len(header)))


def _sphere(head: bytes, size: int) -> Layout:
    fields = dict(re.findall(rb"(\w+) -i (\d+)", head))
    lines = head.split(b"\n")
    start = int(lines[1]) if len(lines) > 1 and lines[1].strip().isdigit() else 1024
    rate, channels, width, count = (
        int(fields.get(name, b"0")) for name in (b"sample_rate", b"channel_count", b"sample_n_bytes", b"sample_count")
    )
    per_second = rate * channels * width
    if not per_second or b"shorten" in head or b"wavpack" in head:
        return Layout(((start, size),), None, 0.0)
    data = _Data(per_second)
    data.add(start, count * channels * width, size, leftover=False)
    return data.layout(None)


def _frames_follow(head: bytes, frame: Callable[[bytes], tuple[int, int, int] | None]) -> bool:
    """Tell whether `head` begins with two frames one after the other; one could be samples that look like a frame."""
    first = frame(head)
    return first is not None and frame(head[first[0] :]) is not None


def _mp3_frame(head: bytes) -> tuple[int, int, int] | None:
    """Return length in bytes, sample rate and samples of the MPEG layer III frame that `head` begins with."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, rate_index, bitrate_index = head[1] >> 3 & 3, head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or rate_index == 3 or bitrate_index in (0, 15):
        return None
    rate = (44100, 48000, 32000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    if version == 3:
        samples, kilobits = 1152, (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    else:
        samples, kilobits = 576, (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    return samples // 8 * kilobits[bitrate_index - 1] * 1000 // rate + (head[2] >> 1 & 1), rate, samples


def _adts_frame(head: bytes) -> tuple[int, int, int] | None:
    """Return length in bytes, rate index and samples of the AAC frame that `head` begins with."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return None
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return (length, head[2] >> 2 & 15, 1024) if length > 7 else None


def read_head(path: Path) -> bytes:
    """Read the first bytes of a file for `container_of`."""
    with path.open("rb") as file:
        return file.read(HEAD)
