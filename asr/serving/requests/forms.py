"""The bytes of a body, as they come -> fields in memory, and files on the disk."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import python_multipart
from python_multipart.multipart import parse_options_header

from asr.errors import OutputError, one_line
from asr.serving.errors import ServiceError, TooLarge
from asr.serving.limits import Limits

_MOST_PARTS = 1000  # fields and files of a form


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a client sent. `name` is what the client calls it, without folders; no file has this name here."""

    name: str
    path: Path
    size: int


@dataclass(slots=True)
class Form:
    """The fields and files of a request, in their order. A name can come several times."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[Upload]] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return the last value of a field, or None."""
        return self.fields.get(name, [None])[-1]

    def file(self, name: str = "file") -> Upload:
        """Return the one file of a name. Raises ServiceError if there is none, or more than one."""
        files = self.files.get(name, [])
        if len(files) != 1:
            found = f"found {len(files)} of them" if files else "there is none"
            raise ServiceError(f"{name}: send one recording as the file {name!r} of a form; {found}", param=name)
        return files[0]


class _Parts:
    """Parts of files that wait to be written, so that the disk is not waited for in the event loop."""

    def __init__(self, folder: Path, form: Form) -> None:
        self.pending = 0  # bytes
        self._folder, self._form = folder, form
        self._parts: list[tuple[BinaryIO, bytes]] = []
        self._open: list[BinaryIO] = []
        self._sizes: dict[str, int] = {}

    def _begin(self) -> tuple[Path, BinaryIO]:
        # A folder for each file: no recording is taken for a neighbour of another one.
        path = self._folder / str(len(self._open)) / "recording"
        path.parent.mkdir()
        file = path.open("wb")
        self._open.append(file)
        return path, file

    def _add(self, file: BinaryIO, content: bytes) -> None:
        self._parts.append((file, content))
        self.pending += len(content)

    def write(self) -> None:
        """Write what waits. Raises OutputError if the disk is full."""
        parts, self._parts, self.pending = self._parts, [], 0
        try:
            for file, content in parts:
                file.write(content)
            for file in self._open:
                file.flush()
        except OSError as error:
            raise OutputError(error.errno, error.strerror or str(error), "the upload") from None

    def close(self) -> None:
        """Close all files."""
        for file in self._open:
            file.close()


class RawParser(_Parts):
    """The parser of a body that is a recording itself."""

    def __init__(self, folder: Path, form: Form) -> None:
        super().__init__(folder, form)
        self._path, self._file = self._begin()
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._size += len(chunk)
        self._add(self._file, chunk)

    def end(self) -> None:
        """Keep the file, unless it is empty."""
        if self._size:
            self._form.files["file"] = [Upload("recording", self._path, self._size)]


class FormParser(_Parts):
    """The parser of a form."""

    def __init__(self, boundary: bytes, folder: Path, form: Form, files: Collection[str], limits: Limits) -> None:
        super().__init__(folder, form)
        self._names, self._limits = files, limits
        self._parser = python_multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": self._part,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header,
                "on_headers_finished": self._headers,
                "on_part_data": self._data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )
        self._count = self._text = 0
        self._ended = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raises MultipartParseError, TooLarge."""
        self._parser.write(chunk)

    def end(self) -> None:
        """Raise ServiceError unless the form is whole."""
        if not self._ended:
            raise ServiceError("the form is cut short, its last boundary is missing; send it again")

    def _end(self) -> None:
        self._ended = True

    def _part(self) -> None:
        self._count += 1
        if self._count > _MOST_PARTS:
            raise TooLarge(f"the form has more than {_MOST_PARTS} parts; send fewer")
        self._header_field = self._header_text = b""
        self._name = self._file_name = ""
        self._content = bytearray()
        self._target: BinaryIO | None = None
        self._size = 0
        self._is_file = False

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_text += data[start:end]

    def _header(self) -> None:
        if self._header_field.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_text)
            self._name = _decoded(options.get(b"name", b""))
            self._is_file = b"filename" in options
            self._file_name = _decoded(options.get(b"filename", b""))
        self._header_field = self._header_text = b""

    def _headers(self) -> None:
        if self._is_file and self._name in self._names:
            self._path, self._target = self._begin()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._target is not None:
            self._add(self._target, data[start:end])
        elif not self._is_file:
            self._text += end - start
            if self._text > self._limits.text:
                raise TooLarge(f"the fields of the form are larger than {self._limits.text} bytes; send less")
            self._content += data[start:end]

    def _part_end(self) -> None:
        if self._target is not None:
            name = one_line(PurePosixPath(self._file_name.replace("\\", "/")).name)[:200] or "recording"
            self._form.files.setdefault(self._name, []).append(Upload(name, self._path, self._size))
        elif not self._is_file:
            self._form.fields.setdefault(self._name, []).append(_decoded(bytes(self._content)))


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "replace")
