"""The body of a request -> fields, and files on the disk. A file is never whole in memory."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from asr.errors import AsrError
from asr.serving.errors import ServiceError, TooLarge
from asr.serving.limits import Limits
from asr.serving.requests.forms import Form, FormParser, RawParser, Upload

__all__ = ["Form", "Upload", "received"]
_PART = 2**20  # bytes that are written to the disk at a time
_LINGER = 5.0, 2**26  # seconds, bytes that are still read of a refused body, so that its sender reads the answer


@asynccontextmanager
async def received(request: Request, limits: Limits, *, files: Collection[str] = ("file",)) -> AsyncIterator[Form]:
    """Receive the body of a request; its files are there until the block ends.

    The body is a form (multipart/form-data), or a recording itself, whose fields are those of the query. Fields of the
    names in `files` may be files; other files are not kept. Errors of the block that name the path of a file get the
    name that the client knows.

    Raises TooLarge, or ServiceError for a form that is damaged, a sender that stops, and one that is gone.
    """
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="asr-upload-"))
    form = Form()
    try:
        try:
            await _receive(request, limits, folder, form, files)
        except AsrError:
            await _linger(request)
            raise
        yield form
    except AsrError as error:
        for upload in (one for group in form.files.values() for one in group):
            error.args = tuple(
                part.replace(str(upload.path), upload.name) if isinstance(part, str) else part for part in error.args
            )
        raise
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, True))


async def _receive(request: Request, limits: Limits, folder: Path, form: Form, files: Collection[str]) -> None:
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limits.upload:
        raise _too_large(limits)
    if kind == b"multipart/form-data":
        if not (boundary := parameters.get(b"boundary")):
            raise ServiceError("the form states no boundary in its Content-Type; let the client write this header")
        parser: FormParser | RawParser = FormParser(boundary, folder, form, files, limits)
    elif kind == b"application/json":
        raise ServiceError("send a form (multipart/form-data) with the recording as its file", status=415)
    else:
        parser = RawParser(folder, form)
        for name, value in request.query_params.multi_items():
            form.fields.setdefault(name, []).append(value)
    total = 0
    try:
        async for chunk in _chunks(request, limits):
            total += len(chunk)
            if total > limits.upload:
                raise _too_large(limits)
            parser.feed(chunk)
            if parser.pending >= _PART:
                await asyncio.to_thread(parser.write)
        parser.end()
        await asyncio.to_thread(parser.write)
    except MultipartParseError:
        raise ServiceError("the form is damaged or cut short; send it again") from None
    finally:
        parser.close()


async def _chunks(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Raises ServiceError if the sender stops, or goes."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(limits.idle):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise ServiceError(
                f"no byte came for {limits.idle:g} s; send the whole request", status=408, code="timeout"
            ) from None
        except ClientDisconnect:
            raise ServiceError("the sender closed the connection before the end of its request") from None
        if chunk is None:
            return
        yield chunk


async def _linger(request: Request) -> None:
    """Read on for a moment: a client that still sends would otherwise see a broken connection, not the answer."""
    seconds, most = _LINGER
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                most -= len(chunk)
                if most < 0:
                    return
    except (TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: the body has ended
        return


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"the request is larger than {limits.upload} bytes, the limit of this service (--max-upload)")
