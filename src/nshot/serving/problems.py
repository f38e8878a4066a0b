"""Errors in the form of OpenAI's protocol; messages are for whoever asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from nshot.core import EnvironmentProblem, NshotError, UsageProblem
from nshot.serving.log import log_without_texts
from nshot.serving.queue import DeadlineError, FullError
from nshot.serving.served import TooLongError

_FAILED = "The server failed; its log says where."
_REQUEST, _SERVER, _BUSY = "invalid_request_error", "server_error", "rate_limit_error"


def record(message: str, kind: str = _REQUEST, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return the body of an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def response(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return an error as a response."""
    kind = _BUSY if status == 429 else _SERVER if status >= 500 else _REQUEST
    return JSONResponse(record(message, kind, param, code), status, headers=dict(headers or {}))


def of(error: Exception) -> JSONResponse:
    """Return what went wrong while an answer was written; what is nobody's input is logged, without its message."""
    if isinstance(error, FullError):
        return response(429, str(error), code="queue_full", headers={"Retry-After": str(error.retry_after_seconds)})
    if isinstance(error, DeadlineError):
        return response(504, str(error), code="deadline_exceeded")
    if isinstance(error, TooLongError):
        return response(400, str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, NshotError):
        status = 400 if isinstance(error, UsageProblem) else 503 if isinstance(error, EnvironmentProblem) else 500
        return response(status, str(error))
    log_without_texts(error)
    return response(500, _FAILED)


def of_body(error: RequestValidationError) -> JSONResponse:
    """Return the first thing that is wrong with the body of a request; a name that is not known explains what lacks."""
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "extra_forbidden":
        return response(400, f"Unknown parameter: {place}.", param=place, code="unknown_parameter")
    if first["type"] == "missing":
        return response(400, f"{place} is missing.", param=place, code="missing_parameter")
    if first["type"] == "json_invalid":
        return response(400, "The body is not JSON.", code="invalid_json")
    said = first["msg"].removeprefix("Value error, ")
    return response(400, f"{place}: {said}." if place else f"{said}.", param=place or None)


def handle(app: FastAPI) -> None:
    """Let an application answer every error in this form."""

    @app.exception_handler(RequestValidationError)
    async def of_request(request: Request, error: RequestValidationError) -> JSONResponse:
        return of_body(error)

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> JSONResponse:
        said, path, headers = str(error.detail), request.url.path, error.headers or {}
        if error.status_code == 404:
            said = f"There is nothing at {path}. /openapi.json tells what there is."
        elif error.status_code == 405:
            said = f"{request.method} is not answered at {path}. Send {headers.get('Allow', 'another method')}."
        return response(error.status_code, said, headers=headers)

    @app.exception_handler(NshotError)
    @app.exception_handler(FullError)
    @app.exception_handler(DeadlineError)
    async def of_ours(request: Request, error: NshotError | FullError | DeadlineError) -> JSONResponse:
        return of(error)

    @app.exception_handler(Exception)
    async def of_mistake(request: Request, error: Exception) -> JSONResponse:
        # It is raised again for the middleware, which logs it.
        return response(500, _FAILED)
