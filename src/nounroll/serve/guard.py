"""Guard of all routes: the sender, the form and size of the body, and the time that a request takes."""

import asyncio
import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nounroll.serve.errors import error_response
from nounroll.serve.metrics import Metrics
from nounroll.serve.presence import sending_within, while_present
from nounroll.serve.settings import ServeSettings
from nounroll.serve.turns import Turns

_STEPPING = ("/act", "/completions", "/feed", "/forecast", "/sample")  # ends of the routes that the queue bounds
_NOT_JSON = "/restore"
_DROPPED = 64 * 2**20  # bytes beyond the limit that are read and dropped


class Refused(Exception):
    """Refusal of a request before any route, with a status and a message."""


class Guard:
    """ASGI middleware: it refuses bad requests, cancels work for clients that have left, and counts answers.

    It answers 403 to a web page of another origin or host name, 401 without the token, 408 and 413 to a slow or large
    body, and 415 to a body that is not JSON. While the network steps, refusals and requests without steps wait for
    their turn.

    Args:
        app: the inner app.
        settings, metrics: the server's settings and counters.
        turns: the queue of light requests.
        open_to_all: paths that need no token.
    """

    def __init__(
        self, app: ASGIApp, settings: ServeSettings, metrics: Metrics, turns: Turns, open_to_all: frozenset[str]
    ) -> None:
        self.app, self.settings, self.metrics, self.turns = app, settings, metrics, turns
        self.open_to_all = open_to_all
        self.hosts = {*settings.hosts, *(urlsplit(origin).hostname for origin in settings.origins)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, light = False, not (scope["method"] == "POST" and scope["path"].endswith(_STEPPING))
        limited = sending_within(self.settings.send_seconds, send)

        async def counted(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                if message["status"] >= 400 and not light:
                    await self.turns.wait()
                started = True
                self.metrics.requests.labels(str(message["status"])).inc()
            await limited(message)

        with self.metrics.seconds.time():
            try:
                app, body = await self._admitted(scope, receive)
                await while_present(self._in_turn(app) if light else app, scope, body, receive, counted)
            except ClientDisconnect:
                pass  # the server closes the unfinished answer
            except Exception:  # our own bug; an outer handler answers
                if not started:
                    self.metrics.requests.labels("500").inc()
                raise

    async def _admitted(self, scope: Scope, receive: Receive) -> tuple[ASGIApp, bytes]:
        """Return the app that answers the request (the routes or a refusal) and the request's body."""
        headers = Headers(scope=scope)
        try:
            self._check_page(headers)
            if scope["path"] not in self.open_to_all:
                self._check_token(headers)
            body = await self._body(receive)
            self._check_form(scope, headers, body)
        except Refused as refused:
            return error_response(*refused.args, closes=True), b""
        return self.app, body

    def _in_turn(self, app: ASGIApp) -> ASGIApp:
        async def later(scope: Scope, receive: Receive, send: Send) -> None:
            async with self.turns.turn():
                await app(scope, receive, send)

        return later

    def _check_page(self, headers: Headers) -> None:
        """Refuse requests from other web pages in the user's browser."""
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            name = None
        if self.settings.hosts and name not in self.hosts:
            allowed = ", ".join(sorted(self.hosts))
            raise Refused(403, f"the host is {host[:60]!r}; this server answers to {allowed}; --origins adds others")
        if origin is None or origin in self.settings.origins or origin in (f"http://{host}", f"https://{host}"):
            return
        raise Refused(403, f"the origin is {origin[:60]!r}; --origins allows pages of other origins")

    def _check_token(self, headers: Headers) -> None:
        if self.settings.token is None:
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.encode(), self.settings.token.encode()):
            raise Refused(401, "the request carries no valid token; send Authorization: Bearer TOKEN")

    async def _body(self, receive: Receive) -> bytes:
        """Read the whole body; refuse it if it is too large or too slow.

        Of a body that is too large, the next 64 MiB are read and dropped. Otherwise the connection would be reset while
        the client still sends, and many clients would not see the answer.
        """
        body, size, more, seconds = bytearray(), 0, True, self.settings.body_seconds
        large = Refused(413, f"the body is larger than {self.settings.body} bytes")
        try:
            async with asyncio.timeout(seconds):
                while more and size <= self.settings.body + _DROPPED:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    size += len(message.get("body", b""))
                    body += message.get("body", b"") if size <= self.settings.body else b""
                    more = message.get("more_body", False)
        except TimeoutError as error:
            late = Refused(408, f"the body did not arrive within {seconds:g} seconds")
            raise (large if size > self.settings.body else late) from error
        if size > self.settings.body:
            raise large
        return bytes(body)

    def _check_form(self, scope: Scope, headers: Headers, body: bytes) -> None:
        """Refuse bodies that are not JSON, because browsers send other types without a preflight."""
        given = headers.get("content-type", "")
        if not body or scope["path"].endswith(_NOT_JSON):
            return
        if given.partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, f"Content-Type is {given[:60]!r}; send JSON, with Content-Type: application/json")
