"""Debian packages (.deb): downloaded by apt, and read: an ar archive, whose `data.tar` holds the files (deb(5))."""

import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import IO

MAGIC = b"!<arch>\n"
_HEADER = 60  # bytes before each member: name, four numbers, size, and an end mark
_END = b"`\n"


def download(file_name: str, folder: Path) -> Path:
    """Download the package file `NAME_VERSION_ARCHITECTURE.deb` into `folder` from the mirror of this system.

    Raises ValueError if this system has no apt, or does not offer the package.
    """
    if shutil.which("apt-get") is None:
        raise ValueError("this system has no apt-get; it is part of Debian and Ubuntu")
    name, version, _ = file_name.split("_")
    command = ["apt-get", "--quiet", "download", f"{name}={version}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E: ")]
        raise ValueError(f"apt-get says: {lines[-1] if lines else done.stderr.strip()[-200:]}; try: apt-get update")
    return folder / file_name


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
