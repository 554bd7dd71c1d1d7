"""Debian packages (.deb): an ar archive, whose member `data.tar` holds the files of the package (deb(5))."""

import io
import re
from typing import IO

MAGIC = b"!<arch>\n"
_HEADER = 60  # bytes before each member: name, four numbers, size, and an end mark
_END = b"`\n"


def open_files(package: IO[bytes]) -> IO[bytes]:
    """Return the tar archive with the files of a package, which may be compressed, in memory.

    Raises ValueError for a file that is no package, that is truncated, or whose files are compressed with zstd.
    """
    if package.read(len(MAGIC)) != MAGIC:
        raise ValueError("it is no Debian package")
    while header := package.read(_HEADER):
        name, size = header[:16].decode("latin-1").rstrip(" /"), header[48:58].strip()
        if len(header) != _HEADER or not header.endswith(_END) or re.fullmatch(rb"\d+", size) is None:
            raise ValueError("a header in it is damaged")
        if name in ("data.tar", "data.tar.gz", "data.tar.bz2", "data.tar.xz"):
            content = package.read(int(size))
            if len(content) != int(size):
                raise ValueError(f"its {name} ends early")
            return io.BytesIO(content)
        if name.startswith("data.tar"):
            raise ValueError(f"its {name} has a compression that is not supported; extract it with dpkg-deb -x")
        package.seek(int(size) + int(size) % 2, io.SEEK_CUR)  # a member begins at an even position
    raise ValueError("it holds no data.tar")
