"""Turns of light requests: while the network steps, requests without steps enter one at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

# CPU time between two turns, in multiples of a request's. uvicorn and the system spend about as much again on it.
_SHARE = 12
_LONGEST = 0.05  # seconds between two turns, at most, even if the network waits
_NEWEST = 0.2  # weight of the last request in the mean cost


class Turns:
    """Queue of light requests, in order of arrival. Requests pass at once while the network is idle.

    The cost of a request is measured in CPU seconds, because the machine may be busy with other programs.

    Args:
        at_work: returns whether the network steps.
    """

    def __init__(self, at_work: Callable[[], bool]) -> None:
        self._at_work, self._first = at_work, asyncio.Lock()
        self._cost = 0.001
        self._next, self._latest = 0.0, 0.0  # start of the next turn, on the CPU clock and the loop's clock

    async def wait(self) -> None:
        """Return when the next turn begins."""
        loop = asyncio.get_running_loop()
        async with self._first:
            await asyncio.sleep(0)  # one at a time even when idle, so that a stepping request waits for few others
            while self._at_work() and (ahead := self._next - time.process_time()) > 0 and loop.time() < self._latest:
                await asyncio.sleep(ahead)
            self._next, self._latest = time.process_time() + _SHARE * self._cost, loop.time() + _LONGEST

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn; its time counts towards the request."""
        await self.wait()
        start = time.thread_time()
        try:
            yield
        finally:
            self._cost += _NEWEST * (time.thread_time() - start - self._cost)
