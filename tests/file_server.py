"""A server of HTTP for a folder of files, with and without range requests, which can break off in the middle."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class FileServer(ThreadingHTTPServer):
    """Serves `folder`; `requests` lists each path with its range."""

    daemon_threads = True

    def __init__(self, folder: Path, *, ranges: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.ranges = folder, ranges
        self.breaks = 0  # how many of the next answers break off in the middle
        self.status: int | None = None  # of all answers
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        asked = self.headers.get("Range")
        self.server.requests += [(self.path, asked)] * with_body
        path = self.server.folder / self.path.partition("?")[0].lstrip("/")
        if self.server.status or not path.is_file():
            self._send(self.server.status or 404, b"", {})
            return
        content, status, headers = path.read_bytes(), 200, {"ETag": f'"{path.stat().st_mtime_ns}"'}
        if asked and self.server.ranges:
            first, last = map(int, re.findall(r"\d+", asked))
            if first >= len(content):
                self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {first}-{min(last, len(content) - 1)}/{len(content)}"
            content, status = content[first : last + 1], 206
        self._send(status, content, headers, with_body=with_body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], *, with_body: bool = True) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not with_body:
            return
        try:
            if self.server.breaks and content:
                self.server.breaks -= 1
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
            else:
                self.wfile.write(content)
        except OSError:  # the reader wants no more
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep the output of the tests clean."""


@contextmanager
def file_server(folder: Path, *, ranges: bool = True) -> Iterator[FileServer]:
    """Run a FileServer during the block."""
    server = FileServer(folder, ranges=ranges)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
