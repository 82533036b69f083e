"""Made-up tasks with numbers and with rare events."""

import torch

from suite_tasks.measures import AVERAGE_PRECISION, SQUARED_ERROR
from suite_tasks.problem import Batch, Numbers, Problem, Sampled, Symbols

_KINDS = 8  # of events; 0, 1 and 2 make the pattern, 3 cancels it
_WITHIN = 20  # steps from the first event of a pattern to its last


def adding(part: str, batch_size: int, length: int, generator: torch.Generator) -> Batch:
    """The adding problem: at the end, the sum of the two numbers that were marked, one in each half."""
    values = torch.rand(batch_size, length, generator=generator)
    rows, half = torch.arange(batch_size), length // 2
    first = torch.randint(half, (batch_size,), generator=generator)
    second = half + torch.randint(length - half, (batch_size,), generator=generator)
    marks = torch.zeros(batch_size, length)
    marks[rows, first] = marks[rows, second] = 1
    targets = torch.zeros(batch_size, length, 1)
    targets[:, -1, 0] = values[rows, first] + values[rows, second]
    mask = torch.zeros(batch_size, length, dtype=torch.bool)
    mask[:, -1] = True
    return Batch(torch.stack([values, marks], dim=-1), targets, mask)


def events(part: str, batch_size: int, length: int, generator: torch.Generator) -> Batch:
    """Events of eight kinds, and at every step whether the pattern 0 .. 1 .. 2 has just been completed.

    Other events may come between, but a 3 cancels what has begun; from the newest 0 before the 1 to the 2 there are at
    most 20 steps. A completed pattern starts anew. About one step in fifty completes one.
    """
    inputs = torch.randint(_KINDS, (batch_size, length), generator=generator)
    targets = torch.zeros_like(inputs)
    never = -10 * _WITHIN
    begun, followed = (torch.full((batch_size,), never) for _ in range(2))  # when the 0 was; the same after a 1
    for t in range(length):
        kind = inputs[:, t]
        begun = torch.where(kind == 0, t, begun)
        followed = torch.where(kind == 1, torch.maximum(begun, followed), followed)
        complete = (kind == 2) & (t - followed <= _WITHIN)
        targets[:, t] = complete.long()
        gone = complete | (kind == 3)
        begun, followed = torch.where(gone, never, begun), torch.where(gone, never, followed)
    return Batch(inputs, targets, torch.ones_like(inputs, dtype=torch.bool))


def _adding(length: int, seconds: float) -> Problem:
    return Sampled(
        name=f"adding-{length}",
        title=f"the sum of two marked numbers among {length} (a guess of the mean has 0.167)",
        inputs=Numbers(2),
        targets=Numbers(1),
        length=length,
        seconds=seconds,
        measure=SQUARED_ERROR,
        floor=1e-4,
        draw=adding,
        group="memory",
    )


def adding_100() -> Problem:
    return _adding(100, 100)


def adding_400() -> Problem:
    return _adding(400, 400)


def rare_events() -> Problem:
    return Sampled(
        name="events",
        title="say at every step whether a pattern of events, 2 % of the steps, has just been completed",
        inputs=Symbols(_KINDS),
        targets=Symbols(2),
        length=128,
        seconds=60,
        measure=AVERAGE_PRECISION,
        draw=events,
        validation_sequences=128,
        test_sequences=256,
        group="state",
    )
