"""Continuous batching: every step takes the next input of all active requests, including new ones."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from nounroll.serve.metrics import Metrics
from nounroll.serve.pool import Pool
from nounroll.serve.session import Session

R = TypeVar("R")


class Busy(Exception):
    """The queue is full, or the server is shutting down."""


@dataclass(eq=False)
class _Request:
    session: Session
    value: Tensor  # the input to read next: () or (d,)
    result: asyncio.Future[Tensor] = field(repr=False)


class Batcher:
    """Batcher of requests: it steps the memories of many requests at once, in a separate thread.

    The thread computes with copies. The server's thread writes the memories and cancels requests, so a step of a
    cancelled request changes nothing.

    Args:
        pool: the memories.
        queue: largest number of active answers.
        metrics: the counters.
    """

    def __init__(self, pool: Pool, queue: int, metrics: Metrics) -> None:
        self.pool, self.queue, self.metrics = pool, queue, metrics
        self.thread = ThreadPoolExecutor(1, "step")
        self._waiting: list[_Request] = []
        self._stepping: list[_Request] = []
        self._wake = asyncio.Event()
        self._under_way = 0
        self._closed = False

    @property
    def at_work(self) -> bool:
        """Return whether any answer is active."""
        return self._under_way > 0

    def enter(self, places: int = 1) -> None:
        """Take places in the queue, all or none.

        Raises:
            Busy: there are not enough places.
        """
        if self._closed or self._under_way + places > self.queue:
            raise Busy
        self._under_way += places

    def leave(self, places: int = 1) -> None:
        self._under_way -= places

    async def read(self, session: Session, value: Tensor) -> Tensor:
        """Let a session's memory read one input; return its readout, (V,)."""
        if self._closed:
            raise Busy
        request = _Request(session, value, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._wake.set()
        return await request.result

    async def compute(self, function: Callable[[Tensor], R], memory: Tensor) -> R:
        """Apply a function to a memory, between two steps."""
        if self._closed:
            raise Busy
        return await asyncio.get_running_loop().run_in_executor(self.thread, function, memory)

    async def run(self) -> None:
        """Step for ever; cancel it to stop."""
        try:
            while True:
                await self._wake.wait()
                await asyncio.sleep(0)  # requests that continue at once join the same step
                self._wake.clear()
                self._stepping = [one for one in self._waiting if not one.result.done()]
                self._waiting.clear()
                if self._stepping:
                    await self._step(self._stepping)
        finally:
            self.close()
            self.thread.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Stop stepping; waiting and later requests get Busy."""
        self._closed = True
        for one in [*self._stepping, *self._waiting]:
            if not one.result.done():
                one.result.set_exception(Busy())

    async def _step(self, batch: list[_Request]) -> None:
        inputs = torch.stack([one.value for one in batch])
        memories = self.pool.memories[[one.session.slot for one in batch]]  # a copy
        try:
            stepped = asyncio.get_running_loop().run_in_executor(self.thread, self._timed, inputs, memories)
            after, outputs, seconds = await stepped
        except Exception as error:  # fails this batch only; later requests are served
            for one in batch:
                if not one.result.done():
                    one.result.set_exception(error)
            return
        here = [i for i, one in enumerate(batch) if not one.result.done()]
        self.pool.memories[[batch[i].session.slot for i in here]] = after[here]
        self.metrics.steps.inc()
        self.metrics.elements.inc(len(here))
        for i in here:
            batch[i].session.heard(batch[i].value)
            batch[i].session.step_seconds = seconds
            batch[i].result.set_result(outputs[i])

    def _timed(self, inputs: Tensor, memories: Tensor) -> tuple[Tensor, Tensor, float]:
        """Return the results of ``Pool.advance`` and its seconds."""
        start = time.perf_counter()
        return *self.pool.advance(inputs, memories), time.perf_counter() - start
