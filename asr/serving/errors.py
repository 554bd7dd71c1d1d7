"""Errors of requests in the shape that OpenAI's clients read: `{"error": {message, type, param, code}}`."""

import logging
import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from asr.errors import AsrError, OutputError, explain

_log = logging.getLogger(__name__)
_OPTIONS = re.compile(r"--(salvage|channels|phrases|hotwords)\b")  # options of the command line that are fields here


class ServiceError(AsrError):
    """An error with a status of HTTP. `code` names its cause for programs, `param` the field that is wrong."""

    status, code, kind = 400, "invalid_request", "invalid_request_error"

    def __init__(
        self, message: str, *, param: str | None = None, status: int | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.param = param
        self.status, self.code = status or self.status, code or self.code
        self.headers: dict[str, str] = {}


class UnknownModel(ServiceError):
    """A request names a model that the service does not have."""

    status, code = 404, "model_not_found"


class TooLarge(ServiceError):
    """A request is larger than the service takes."""

    status, code = 413, "request_too_large"


class Busy(ServiceError):
    """As many requests wait as may wait."""

    status, code, kind = 503, "busy", "server_error"

    def __init__(self, message: str, *, seconds: int = 2) -> None:
        super().__init__(message)
        self.headers = {"Retry-After": str(seconds)}


class WorkerLost(ServiceError):
    """The model process that held a request has died."""

    status, code, kind = 500, "worker_lost", "server_error"


class TimedOut(ServiceError):
    """A request took longer than the service allows."""

    status, code, kind = 504, "timeout", "server_error"


def described(error: Exception) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Return status, headers and body of the response for an error. A bug is logged, and not shown."""
    if isinstance(error, ServiceError):
        return error.status, error.headers, body(str(error), error.kind, error.code, error.param)
    if isinstance(error, HTTPException):
        return error.status_code, dict(error.headers or {}), _of_http(error)
    if isinstance(error, RequestValidationError):
        message, param = _of_validation(error)
        return 400, {}, body(message, code="invalid_value", param=param)
    explained = explain(error, "the request")
    if isinstance(explained, OutputError):
        return 507, {}, body(str(explained), "server_error", "no_room")
    if isinstance(error, AsrError):
        fault = getattr(error, "fault", None)
        return 400, {}, body(as_fields(str(error)), code=str(fault or "invalid_value").replace(" ", "_"))
    if isinstance(explained, AsrError):
        return 500, {}, body(str(explained), "server_error", "system")
    _log.error("a request failed by a bug in this program", exc_info=error)
    return 500, {}, body("this program has a bug; its log has the traceback", "server_error", "internal_error")


def as_fields(message: str) -> str:
    """Return a message of the library with the fields of a request in place of options of the command line."""
    return _OPTIONS.sub(r"`\1`", message)


def body(
    message: str, kind: str = "invalid_request_error", code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """Return the JSON of an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def response(error: Exception) -> JSONResponse:
    """Return the response for an error."""
    status, headers, content = described(error)
    return JSONResponse(content, status, headers)


def handle_errors(app: FastAPI) -> None:
    """Answer every error of the app in this shape."""

    async def handler(request: Request, error: Exception) -> JSONResponse:
        return response(error)

    for kind in (AsrError, OSError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, handler)


def _of_http(error: HTTPException) -> dict[str, Any]:
    known = {
        404: ("there is no such address; GET /openapi.json lists them", "not_found"),
        405: ("this address takes another method; GET /openapi.json lists them", "method_not_allowed"),
    }
    usual = {404: "Not Found", 405: "Method Not Allowed"}
    message, code = known.get(error.status_code, (str(error.detail), None))
    if error.detail != usual.get(error.status_code, error.detail):
        message = str(error.detail)
    return body(message, "invalid_request_error" if error.status_code < 500 else "server_error", code)


def _of_validation(error: RequestValidationError) -> tuple[str, str | None]:
    """Return one line for the wrong fields of a request, and the name of the first."""
    places = [(".".join(str(part) for part in one["loc"][1:]) or "body", one["msg"]) for one in error.errors()]
    message = "; ".join(f"{place}: {text[:1].lower()}{text[1:]}" for place, text in places[:10])
    return message, places[0][0] if places else None
