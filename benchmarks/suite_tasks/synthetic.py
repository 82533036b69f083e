"""Made-up tasks with numbers and with rare events."""

import torch

from suite_tasks.measures import AVERAGE_PRECISION, SQUARED_ERROR
from suite_tasks.problem import Batch, Numbers, Problem, Sampled, Symbols

_SUM_VARIANCE = 1 / 6  # of two uniform numbers
_USERS, _FAILURES = 8, 0.215  # share of all events; as much as is missing to a half are successes


def adding(part: str, batch_size: int, length: int, generator: torch.Generator) -> Batch:
    """The adding problem: at the end, the sum of the two numbers that were marked, one in each half.

    Numbers are uniform from 0 to 1. They, the marks and the sums are shown with mean 0 and deviation 1.
    """
    values = torch.rand(batch_size, length, generator=generator)
    rows, half = torch.arange(batch_size), length // 2
    first = torch.randint(half, (batch_size,), generator=generator)
    second = half + torch.randint(length - half, (batch_size,), generator=generator)
    marks = torch.zeros(batch_size, length)
    marks[rows, first] = marks[rows, second] = 1
    targets = torch.zeros(batch_size, length, 1)
    targets[:, -1, 0] = (values[rows, first] + values[rows, second] - 1) / _SUM_VARIANCE**0.5
    mask = torch.zeros(batch_size, length, dtype=torch.bool)
    mask[:, -1] = True
    share = 2 / length
    shown = [(values - 0.5) * 12**0.5, (marks - share) / (share * (1 - share)) ** 0.5]
    return Batch(torch.stack(shown, dim=-1), targets, mask)


def events(part: str, batch_size: int, length: int, generator: torch.Generator) -> Batch:
    """A log of 8 users, and at every step whether it is the third failure in a row of its user.

    A symbol is a user and a kind: a failure, a success or something else, which does not matter. A success ends the
    user's row of failures, and so does its third one. About one step in fifty is a third failure.
    """
    users = torch.randint(_USERS, (batch_size, length), generator=generator)
    chance = torch.rand(batch_size, length, generator=generator)
    kinds = (chance >= _FAILURES).long() + (chance >= 0.5).long()  # 0 a failure, 1 a success, 2 something else
    targets = torch.zeros_like(users)
    rows, in_a_row = torch.arange(batch_size), torch.zeros(batch_size, _USERS, dtype=torch.int64)
    for t in range(length):
        user, kind = users[:, t], kinds[:, t]
        failures = torch.where(kind == 1, 0, in_a_row[rows, user] + (kind == 0).long())
        targets[:, t] = (failures == 3).long()
        in_a_row[rows, user] = failures % 3
    return Batch(users * 3 + kinds, targets, torch.ones_like(users, dtype=torch.bool))


def _adding(length: int, seconds: float) -> Problem:
    return Sampled(
        name=f"adding-{length}",
        title=f"the sum of two marked numbers among {length} (a guess of the mean has 0.167)",
        inputs=Numbers(2),
        targets=Numbers(1),
        length=length,
        seconds=seconds,
        measure=SQUARED_ERROR,
        unit=_SUM_VARIANCE,
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
        title="find the third failure in a row of one of 8 users in a log, which 2 % of its lines are",
        inputs=Symbols(3 * _USERS),
        targets=Symbols(2),
        length=128,
        seconds=60,
        measure=AVERAGE_PRECISION,
        draw=events,
        validation_sequences=128,
        test_sequences=256,
        group="state",
    )
