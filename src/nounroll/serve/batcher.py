"""Continuous batching: every step takes the next input of all requests that are under way, new ones included."""

import asyncio
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nounroll.serve.metrics import Metrics
from nounroll.serve.pool import Pool


class Busy(Exception):
    """The queue is full, or the server is going down."""


@dataclass(eq=False)
class _Request:
    slot: int
    value: Tensor  # the input to read next: () or (d,)
    result: asyncio.Future[Tensor] = field(repr=False)


class Batcher:
    """Steps a pool for many requests at once.

    Args:
        pool: the memories.
        queue: requests under way at once.
        metrics: what is counted.
    """

    def __init__(self, pool: Pool, queue: int, metrics: Metrics) -> None:
        self.pool, self.queue, self.metrics = pool, queue, metrics
        self._waiting: list[_Request] = []
        self._wake = asyncio.Event()
        self._under_way = 0
        self._closed = False

    def enter(self) -> None:
        """Take a place in the queue.

        Raises:
            Busy: there is none.
        """
        if self._closed or self._under_way >= self.queue:
            raise Busy
        self._under_way += 1

    def leave(self) -> None:
        self._under_way -= 1

    async def read(self, slot: int, value: Tensor) -> Tensor:
        """Let a slot's memory read one input; its readout, (V,)."""
        if self._closed:
            raise Busy
        request = _Request(slot, value, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._wake.set()
        return await request.result

    async def run(self) -> None:
        """Step for ever; cancel it to stop. Whoever waits then gets Busy."""
        try:
            while True:
                await self._wake.wait()
                await asyncio.sleep(0)  # those that go on at once join the same step
                self._wake.clear()
                batch = [one for one in self._waiting if not one.result.done()]
                self._waiting.clear()
                if batch:
                    self._step(batch)
        finally:
            self._closed = True
            for one in self._waiting:
                if not one.result.done():
                    one.result.set_exception(Busy())

    def _step(self, batch: list[_Request]) -> None:
        try:
            outputs = self.pool.step([one.slot for one in batch], torch.stack([one.value for one in batch]))
        except Exception as error:  # theirs alone: those that come later are served
            for one in batch:
                one.result.set_exception(error)
            return
        self.metrics.steps.inc()
        self.metrics.elements.inc(len(batch))
        for one, row in zip(batch, outputs, strict=True):
            one.result.set_result(row)
