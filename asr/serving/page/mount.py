"""The static files of the page, and the headers that keep it from loading anything from outside."""

from os import PathLike, stat_result
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_STATIC = Path(__file__).parents[1] / "static"
# Modules for sound that the page shares with the page of `asr export --page`. The path is not imported: that room needs
# the package onnx.
_SHARED = Path(__file__).parents[2] / "exporting" / "web" / "page"
_HEADERS = {
    # blob: is for recordings that the browser has just made.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",  # a browser asks whether a file has changed, so that a new version is seen at once
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Files(StaticFiles):
    """Static files with the headers of the page."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return a file, or 304 if the browser has it, with the headers of the page."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_HEADERS)
        return response


def mount(app: FastAPI) -> None:
    """Add the page at `/`, its files below `/static` and the shared modules for sound below `/shared`."""

    @app.get("/", include_in_schema=False)
    def first_page() -> FileResponse:
        return FileResponse(_STATIC / "index.html", headers=_HEADERS)

    app.mount("/static", _Files(directory=_STATIC), name="static")
    app.mount("/shared", _Files(directory=_SHARED), name="shared")
