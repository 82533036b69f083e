"""Reading and drawing of elements: each is one step of a session's memory."""

from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import torch
from torch import Tensor

from nounroll.models.generation import Sampling
from nounroll.serve.service import Service
from nounroll.serve.session import Session

N = TypeVar("N")


async def expected(service: Service, session: Session) -> Tensor:
    """Return the network's prediction after all that a session has read, (V,)."""
    return await service.batcher.compute(service.pool.readout, service.pool.memories[session.slot].clone())


async def read(
    service: Service, session: Session, values: Tensor, note: Callable[[Tensor, Tensor], N] | None = None
) -> tuple[list[N | None], Tensor]:
    """Let a session read inputs.

    Args:
        service, session: the reader.
        values: (P,) or (P, d), at least one.
        note: function of the prediction before an input, (V,), and the input.

    Returns:
        The result of ``note`` for each input, or None for the first input of a session; and the prediction after the
        last.
    """
    outputs = await expected(service, session) if note and session.read else None
    notes: list[N | None] = []
    for value in values:
        if note:
            notes.append(None if outputs is None else note(outputs, value))
        outputs = await service.batcher.read(session, value)
    assert outputs is not None
    return notes, outputs


async def draw(
    service: Service, session: Session, count: int, sampling: Sampling, source: torch.Generator
) -> AsyncGenerator[tuple[Tensor, Tensor]]:
    """Draw elements and read each back in; yield each element with the prediction before it."""
    outputs = await expected(service, session) if count else torch.empty(0)
    for _ in range(count):
        element = sampling.draw(service.student.targets, outputs[None], source)[0]
        after = await service.batcher.read(session, element)
        yield element, outputs
        outputs = after
