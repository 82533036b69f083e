"""A connection with a deadline for each request's head, in a server that holds a bounded number of connections."""

import asyncio
import sys
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # for the head of a request to arrive
STALLED_SECONDS = 30.0  # for the end of an answer to be taken after a connection was closed
ACCEPTED = 16  # connections that asyncio accepts at once, before any of them can be refused
_MOST = 1024


class Connection(H11Protocol):
    """One connection of uvicorn's, which waits for its client only so long.

    uvicorn's own deadline starts after an answer. Where there are too many connections, the oldest that still waits for
    its client to ask (an incomplete head or body, or nothing) makes room. Where all are at work, uvicorn answers 503.
    """

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self._opened = self.loop.time()
        self._head_deadline: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> bool:
        """Return whether no whole request is under way."""
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
        self.loop.call_later(STALLED_SECONDS, self.transport.abort)  # a client that does not take the last answer

    def _watch_head(self) -> None:
        """Start the deadline where a head is awaited, once for each head; end it where a request is under way."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_watching()
        elif self._head_deadline is None and not self.transport.is_closing():
            self._head_deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_watching(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _make_room(self) -> None:
        """Close the oldest connection that waits for its client, where there are too many."""
        assert self.limit_concurrency is not None
        others = [one for one in self.connections if isinstance(one, Connection) and one is not self]
        others = [one for one in others if not one.transport.is_closing()]
        if len(others) >= self.limit_concurrency - 2 * ACCEPTED and (idle := [one for one in others if one.waiting]):
            min(idle, key=lambda one: one._opened).transport.abort()


def most_connections() -> int:
    """Half of the descriptors that this process may open, at most 1,024: the others are for files and for bursts."""
    if sys.platform == "win32":
        return _MOST
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else max(min(_MOST, soft // 2), 4 * ACCEPTED)
