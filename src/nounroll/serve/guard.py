"""What every request passes before any route: the token, the size of its body, the time that body and answer take."""

import asyncio
import hmac
import json
from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nounroll.serve.errors import error_body
from nounroll.serve.metrics import Metrics
from nounroll.serve.settings import ServeSettings


class Guard:
    """ASGI middleware: 401 without the token, 413 for a large body, 408 for a slow one; it counts the answers.

    A client that does not take its answer is cut off; one that leaves before its body is whole has asked nothing.

    Args:
        app: what comes after.
        settings, metrics: of the server.
        open_to_all: paths that need no token.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics, open_to_all: frozenset[str]) -> None:
        self.app, self.settings, self.metrics, self.open_to_all = app, settings, metrics, open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answered = False

        async def counted(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                self.metrics.requests.labels(str(message["status"])).inc()
            try:
                await asyncio.wait_for(send(message), self.settings.send_seconds)
            except TimeoutError as error:
                raise _SlowReader from error

        with self.metrics.seconds.time():
            try:
                await self._guarded(scope, receive, counted)
            except (_SlowReader, ClientDisconnect):
                pass  # the server closes what has no end
            except Exception:  # a fault of ours, which is answered further out
                if not answered:
                    self.metrics.requests.labels("500").inc()
                raise

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What may pass goes on to the routes, with its body."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._allowed(headers) and scope["path"] not in self.open_to_all:
            await _refuse(send, 401, "the request carries no valid token; send Authorization: Bearer TOKEN")
            return
        try:
            body = await asyncio.wait_for(self._body(receive), self.settings.body_seconds)
        except TimeoutError:
            await _refuse(send, 408, f"the body did not arrive within {self.settings.body_seconds:g} seconds")
            return
        if body is None:
            await _refuse(send, 413, f"the body is larger than {self.settings.body} bytes")
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()  # a client that goes away
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)

    def _allowed(self, headers: Mapping[str, str]) -> bool:
        if self.settings.token is None:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(given.encode(), self.settings.token.encode())

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None when it is too large."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > self.settings.body:
                return None
            if not message.get("more_body"):
                return bytes(body)


class _SlowReader(OSError):
    """A client does not take its answer: to the routes, one that went away."""


async def _refuse(send: Send, status: int, message: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(error_body(status, message)).encode()})
