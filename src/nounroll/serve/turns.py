"""Turns: requests that do not step the network enter one after another while it steps."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

# Times what a request takes lie between two turns. About as much again is spent around it, by uvicorn and the system.
_SHARE = 12
_LONGEST = 0.05  # seconds from one turn to the next, also where the network waits for something itself
_NEWEST = 0.2  # weight of the last request in the mean of what they take


class Turns:
    """A queue in front of light requests, in order of arrival. It moves at once while nothing is at work.

    What a request takes is measured in seconds of the processor, since the machine may be busy with other things too.

    Args:
        at_work: whether the network is at work.
    """

    def __init__(self, at_work: Callable[[], bool]) -> None:
        self._at_work, self._first = at_work, asyncio.Lock()
        self._cost = 0.001
        self._next, self._latest = 0.0, 0.0  # when the next turn begins, by the processor's and by the loop's clock

    async def wait(self) -> None:
        """Return when the next turn begins."""
        loop = asyncio.get_running_loop()
        async with self._first:
            await asyncio.sleep(0)  # one at a time also without work, so that a request with work waits for few
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
