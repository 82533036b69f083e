"""What every request passes before any route: the token, the size of its body, and the time the body takes."""

import asyncio
import hmac
import json
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nounroll.serve.metrics import Metrics
from nounroll.serve.settings import ServeSettings


def error_body(status: int, message: str) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


class Guard:
    """ASGI middleware: 401 without the token, 413 for a large body, 408 for a slow one; it counts the answers."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.requests.labels(str(message["status"])).inc()
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._allowed(headers):
            await _refuse(counted, 401, "the request carries no valid token; send Authorization: Bearer TOKEN")
            return
        try:
            body = await asyncio.wait_for(self._body(receive), self.settings.body_seconds)
        except TimeoutError:
            await _refuse(counted, 408, f"the body did not arrive within {self.settings.body_seconds:g} seconds")
            return
        if body is None:
            await _refuse(counted, 413, f"the body is larger than {self.settings.body} bytes")
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()  # a client that goes away
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, counted)

    def _allowed(self, headers: Mapping[str, str]) -> bool:
        if self.settings.token is None:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(given.encode(), self.settings.token.encode())

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None when it is too large."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self.settings.body:
                return None
            if not message.get("more_body"):
                return body


async def _refuse(send: Send, status: int, message: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(error_body(status, message)).encode()})
