"""Errors in one line, in the format of OpenAI's clients."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from nounroll.serve.batcher import Busy
from nounroll.serve.pool import Full
from nounroll.serve.requests import NESTED
from nounroll.serve.sessions import InUse, TooMany
from nounroll.storage.checkpoint import CheckpointError

_MOST = 60  # characters of the client's text in an error
_REFUSALS: dict[type[Exception], tuple[int, str]] = {
    InUse: (409, "the session is busy with another request; wait for it"),
    TooMany: (429, "all memories for sessions are in use; close some of GET /v1/sessions or try again later"),
    Full: (429, "all memories are in use; close a session or try again later"),
    Busy: (503, "the queue is full; try again later"),
}


def error_body(status: int, message: str) -> dict[str, Any]:
    """Build the JSON of an error."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def error_response(status: int, message: str, *, closes: bool = False) -> JSONResponse:
    """Build the answer to a refused or failed request; ``closes`` ends the connection."""
    headers = {"Connection": "close"} if closes else {}
    if status in (429, 503):
        headers["Retry-After"] = "1"
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_body(status, " ".join(message.split())), status, headers)


def refusal(error: Exception) -> tuple[int, str]:
    """Return the HTTP status and the message for an exception of a route."""
    if type(error) in _REFUSALS:
        return _REFUSALS[type(error)]
    failed_write = isinstance(error, CheckpointError) and isinstance(error.__cause__, OSError)
    return 503 if failed_write else 400, str(error)


def add_errors(app: FastAPI) -> None:
    """Add handlers for the exceptions of an app's routes."""
    reply = error_response

    async def refused(request: Request, error: Exception) -> JSONResponse:
        return reply(*refusal(error))

    for kind in (*_REFUSALS, ValueError):
        app.add_exception_handler(kind, refused)

    @app.exception_handler(HTTPException)
    async def not_so(request: Request, error: HTTPException) -> JSONResponse:
        if error.detail != HTTPStatus(error.status_code).phrase:
            return reply(error.status_code, error.detail)
        return reply(error.status_code, f"{request.method} {_short(request.url.path)} is no route of this server")

    @app.exception_handler(Exception)
    async def faulty(request: Request, error: Exception) -> JSONResponse:
        return reply(500, "the server has a fault; its log has the details")

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        return reply(400, _said(error.errors()[0]))


def _said(fault: dict[str, Any]) -> str:
    """Describe an error of pydantic: the setting, its value and the allowed values."""
    place, kind = fault["loc"][1:2], fault["type"]
    if not place or not isinstance(place[0], str):
        return "the body is no JSON object; send one, with Content-Type: application/json"
    name = place[0]
    if kind in ("missing", "extra_forbidden") or name in NESTED:  # elsewhere, the rest of the location is no setting
        name = ".".join(map(str, fault["loc"][1:]))
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        return f"{name} is unknown to this server; leave it out"
    return f"{name} is {_short(repr(fault['input']))}; {fault['msg'].replace('Input should', 'it must')}"


def _short(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"
