"""Connection with a deadline for each request's head, in a server with a bounded number of connections."""

import asyncio
import sys
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # deadline for the head of a request
STALLED_SECONDS = 30.0  # deadline for the client to read the last answer of a closed connection
ACCEPTED = 16  # connections that asyncio accepts at once, before any of them can be refused
_MOST = 1024


class Connection(H11Protocol):
    """Connection of uvicorn with a deadline for its client.

    uvicorn's own deadline starts only after an answer. If there are too many connections, the oldest one without a
    complete request is closed. If all have requests, uvicorn answers 503.
    """

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self._opened = self.loop.time()
        self._head_deadline: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> bool:
        """Return whether the connection has no complete request."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_head()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_watching()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.loop.call_later(STALLED_SECONDS, self.transport.abort)  # if the client does not read the last answer

    def _watch_head(self) -> None:
        """Start the deadline when a head is awaited, once for each head; cancel it when a request is active."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_watching()
        elif self._head_deadline is None and not self.transport.is_closing():
            self._head_deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_watching(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _make_room(self) -> None:
        """Close the oldest connection without a complete request if there are too many connections."""
        assert self.limit_concurrency is not None
        others = [one for one in self.connections if isinstance(one, Connection) and one is not self]
        others = [one for one in others if not one.transport.is_closing()]
        if len(others) >= self.limit_concurrency - 2 * ACCEPTED and (idle := [one for one in others if one.waiting]):
            min(idle, key=lambda one: one._opened).transport.abort()


def most_connections() -> int:
    """Return half of the process's file descriptors, at most 1,024; the rest is for files and for bursts."""
    if sys.platform == "win32":
        return _MOST
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else max(min(_MOST, soft // 2), 4 * ACCEPTED)
