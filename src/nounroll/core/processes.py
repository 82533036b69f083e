"""Data parallelism: processes share one batch, each computes some rows, and losses cover the whole batch.

``torchrun`` starts the processes. Two things make a loss equal the one-process loss. First, every process
draws the random numbers for the whole batch, and keeps the numbers for its own rows (``own_rows``). Second, sums and
means cover the whole batch, although each process has the gradient of its own rows only. DistributedDataParallel
averages gradients over processes, and ``total`` is scaled so that this average is the gradient of the whole batch.

Outside ``sharing`` every function here works as for one process, without communication.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

_place = (0, 1)  # rank of this process and number of processes that share a batch


@contextmanager
def sharing(rank: int, count: int) -> Iterator[None]:
    """Let a batch be the rows of process ``rank`` of ``count``; all have equally many rows, in order of rank."""
    global _place
    former, _place = _place, (rank, count)
    try:
        yield
    finally:
        _place = former


def alone() -> bool:
    """Return whether this process has the whole batch."""
    return _place[1] == 1


def own_rows(rows: int, draw: Callable[[int], Shaped[Tensor, "..."]]) -> Shaped[Tensor, "..."]:
    """Draw for the rows of all processes, and return the values of this process's rows.

    Args:
        rows: number of rows of this process.
        draw: number of rows -> that many rows of random numbers.
    """
    rank, count = _place
    return draw(rows * count)[rank * rows : (rank + 1) * rows]


def rows_at(
    rows: int, places: Int[Tensor, "R"], pick: Callable[[Int[Tensor, "R"]], Shaped[Tensor, "R *x"]]
) -> Shaped[Tensor, "R *x"]:
    """Collect rows across all processes; ``places`` number the rows continuously from one process to the next.

    Args:
        rows: number of rows of this process.
        places: indices of the wanted rows.
        pick: returns rows of this process by their indices.
    """
    rank, count = _place
    if count == 1:
        return pick(places)
    own = places - rank * rows
    inside = (own >= 0) & (own < rows)
    found = pick(own.clamp(0, rows - 1))
    return total(torch.where(inside.view(-1, *[1] * (found.dim() - 1)), found, 0))


def some_rows(
    rows: int,
    most: int,
    generator: torch.Generator,
    pick: Callable[[Int[Tensor, "R"]], Shaped[Tensor, "R *x"]],
    device: torch.device,
) -> Shaped[Tensor, "R *x"]:
    """Draw at most ``most`` rows of all processes without replacement. For the other arguments see ``rows_at``."""
    order = torch.randperm(rows * _place[1], generator=generator)
    return rows_at(rows, order[:most].to(device), pick)


def total(values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Sum over processes. The gradient is this process's own times their number, so that its average is the whole."""
    return values if _place[1] == 1 else _Total.apply(values, _place[1])  # type: ignore[return-value]


def mean(values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Mean over processes."""
    return total(values) / _place[1] if _place[1] > 1 else values


def largest(value: Shaped[Tensor, ""]) -> Shaped[Tensor, ""]:
    """Maximum over processes, without a gradient."""
    value = value.detach()
    if _place[1] > 1:
        torch.distributed.all_reduce(value, torch.distributed.ReduceOp.MAX)
    return value


def variance(rows: Shaped[Tensor, "N *x"]) -> Shaped[Tensor, ""]:
    """Unbiased variance over the rows of all processes, averaged over coordinates; 1 for a single row."""
    count = len(rows) * _place[1]
    if count < 2:
        return rows.new_ones(())
    centred = rows - mean(rows.mean(dim=0))
    return mean(centred.square().mean()) * count / (count - 1)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, count: int) -> Tensor:
        ctx.count = count
        whole = values.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.count, None
