"""Cut time into windows that unroll side by side."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from nounroll.processes import own_rows
from nounroll.student import Student


def random_windows(rows: int, length: int, width: int, generator: torch.Generator) -> Int[Tensor, "B W"]:
    """First time steps of ceil(length / width) windows of ``width`` steps in each row.

    Windows follow each other without overlap from an offset of the row's own, so that gradients end at other times
    in every batch. The first and the last are pushed inside 0 .. length - 1; that takes one window more than fits,
    so one is left out at random. Every step, the first and the last too, is covered more often than not.
    """
    count = -(-length // width)
    offset = own_rows(rows, lambda n: torch.randint(width, (n, 1), generator=generator))
    starts = (torch.arange(count + 1) * width - offset).clamp(0, length - width)
    left_out = own_rows(rows, lambda n: torch.randint(count + 1, (n, 1), generator=generator))
    left_out = torch.where(offset == 0, count, left_out)  # nothing was pushed inside: the last one is past the end
    return starts[torch.arange(count + 1) != left_out].view(rows, count)


def at_times(values: Shaped[Tensor, "B T *x"], times: Int[Tensor, "B *s"]) -> Shaped[Tensor, "..."]:
    """values[b, times[b, ...]]."""
    rows = torch.arange(len(values), device=values.device).view(-1, *[1] * (times.dim() - 1))
    flat = (rows * values.shape[1] + times.to(values.device)).flatten()
    return values.flatten(0, 1).index_select(0, flat).unflatten(0, times.shape)  # its gradient is a plain sum


def scattered(
    at: Callable[[Int[Tensor, "B n"]], Shaped[Tensor, "B n *x"]],
    rows: int,
    row: Int[Tensor, "R"],
    place: Int[Tensor, "R"],
) -> Shaped[Tensor, "R *x"]:
    """Values at single places, of a function that takes equally many places of each of ``rows`` rows.

    Args:
        at: values by places.
        rows: B.
        row, place: of each of the R values.
    """
    order, counts = row.argsort(stable=True), row.bincount(minlength=rows)
    column = torch.empty_like(row)
    column[order] = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row[order]]
    grid = place.new_zeros(rows, int(counts.max()))
    grid[row, column] = place
    return at(grid)[row, column]


def cut(values: Shaped[Tensor, "B T *x"], starts: Int[Tensor, "B W"], width: int) -> Shaped[Tensor, "BW width *x"]:
    """The windows of each row, one row each: (B, T, ...) -> (B W, width, ...)."""
    return at_times(values, starts[..., None] + torch.arange(width, device=starts.device)).flatten(0, 1)


def unroll_windows(
    student: Student, inputs: Shaped[Tensor, "BW width *x"], start: Float[Tensor, "BW K d"]
) -> Float[Tensor, "BW width K d"]:
    """Memories after each input of each window, with gradients through the window and no further."""
    return student.rollout(inputs, start)[:, 1:]
