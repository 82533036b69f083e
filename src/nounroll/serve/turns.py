"""Turns: requests that do not step the network enter one after another while it steps."""

import asyncio
from collections.abc import Callable

_SECONDS = 0.005  # from one turn to the next: a request takes less than a millisecond, so steps keep most of the time


class Turns:
    """A queue in front of light requests, in order of arrival. It is open while nothing steps.

    Args:
        stepping: whether the network steps.
    """

    def __init__(self, stepping: Callable[[], bool]) -> None:
        self._stepping, self._first = stepping, asyncio.Lock()
        self._next = 0.0  # when the next turn begins, by the loop's clock

    async def wait(self) -> None:
        """Return when it is this request's turn."""
        loop = asyncio.get_running_loop()
        async with self._first:
            while self._stepping() and (ahead := self._next - loop.time()) > 0:
                await asyncio.sleep(ahead)
            self._next = loop.time() + _SECONDS
