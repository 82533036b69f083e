"""Windows of time that unroll in parallel."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from nounroll.core.processes import own_rows
from nounroll.models.student import Student


def random_windows(
    rows: int, length: int, width: int, generator: torch.Generator
) -> tuple[Int[Tensor, "B W"], Bool[Tensor, "B W width"]]:
    """Draw the first time steps of windows of ``width`` steps in each row, and mark the steps that count.

    Windows follow each other from a random offset for each row, so that gradients end at different times in every row.
    The first and the last are moved inside 0 .. length - 1, where they overlap their neighbours. A step in several
    windows counts in the first of them, where most steps come before it. There are ceil(length / width) windows, and
    one more if those would leave less than half a window for the offset.
    """
    count = -(-length // width)
    free = count * width - length
    if 2 * free < width and width not in (1, length):
        count, free = count + 1, free + width
    offsets = min(free, width - 1) + 1
    offset = own_rows(rows, lambda n: torch.randint(offsets, (n, 1), generator=generator))
    starts = (torch.arange(count) * width - offset).clamp(0, length - width)
    times, ends = starts[..., None] + torch.arange(width), starts + width
    return starts, times >= F.pad(ends[:, :-1], (1, 0))[..., None]


def some_windows(
    rows: int, length: int, width: int, steps: int, generator: torch.Generator
) -> tuple[Int[Tensor, "B W"], Bool[Tensor, "B W width"]]:
    """Draw windows at random places with at least ``steps`` steps per row; ``random_windows`` if that is all."""
    if steps >= length:
        return random_windows(rows, length, width, generator)
    drawn = own_rows(rows, lambda n: torch.rand(n, length - width + 1, generator=generator).argsort(dim=1))
    starts = drawn[:, : -(-steps // width)]
    return starts, torch.ones(*starts.shape, width, dtype=torch.bool)


def windows_there(
    there: Bool[Tensor, "B T"], width: int, count: int, generator: torch.Generator
) -> tuple[Int[Tensor, "B W"], Bool[Tensor, "B W"]]:
    """Draw windows at random places of all rows together, and mark the drawn ones: rows have different numbers.

    Args:
        there: the real steps at the start of each row. A window lies within them; in a shorter row it starts at step 0.
        width: number of steps of a window.
        count: number of windows in all rows together, or all windows if there are fewer.
        generator: source of the draws.
    """
    last = (there.sum(dim=1) - width).clamp(min=0)
    possible = torch.arange(there.shape[1] - width + 1) <= last[:, None]
    scores = torch.rand(possible.shape, generator=generator).masked_fill(~possible, 2.0)
    drawn = torch.zeros_like(possible).flatten()
    drawn[scores.flatten().argsort()[: min(count, int(possible.sum()))]] = True
    drawn = drawn.view_as(possible)
    starts = drawn.int().argsort(dim=1, descending=True, stable=True)[:, : int(drawn.sum(dim=1).max())]
    return starts, drawn.gather(1, starts)


def at_times(values: Shaped[Tensor, "B T *x"], times: Int[Tensor, "B *s"]) -> Shaped[Tensor, "..."]:
    """Select values[b, times[b, ...]]."""
    rows = torch.arange(len(values), device=values.device).view(-1, *[1] * (times.dim() - 1))
    flat = (rows * values.shape[1] + times.to(values.device)).flatten()
    return values.flatten(0, 1).index_select(0, flat).unflatten(0, times.shape)  # its gradient is a plain sum


def scattered(
    at: Callable[[Int[Tensor, "B n"]], Shaped[Tensor, "B n *x"]],
    rows: int,
    row: Int[Tensor, "R"],
    place: Int[Tensor, "R"],
) -> Shaped[Tensor, "R *x"]:
    """Select values at single places through a function that takes the same number of places for each of ``rows`` rows.

    Args:
        at: values by places.
        rows: B.
        row, place: row and place of each of the R values.
    """
    order, counts = row.argsort(stable=True), row.bincount(minlength=rows)
    column = torch.empty_like(row)
    column[order] = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row[order]]
    grid = place.new_zeros(rows, int(counts.max()))
    grid[row, column] = place
    return at(grid)[row, column]


def cut(values: Shaped[Tensor, "B T *x"], starts: Int[Tensor, "B W"], width: int) -> Shaped[Tensor, "BW width *x"]:
    """Cut the windows of each row, one row each: (B, T, ...) -> (B W, width, ...)."""
    return at_times(values, starts[..., None] + torch.arange(width, device=starts.device)).flatten(0, 1)


def staggered(values: Shaped[Tensor, "W B T *x"], width: int) -> Shaped[Tensor, "W B width *x"]:
    """Take the first window of the first of W values, the second window of the second, and so on.

    An incomplete last window is padded with zeros.
    """
    windows = [value[:, g * width : (g + 1) * width] for g, value in enumerate(values)]
    missing = width - windows[-1].shape[1]
    if missing:
        rows, _, *event = windows[-1].shape
        windows[-1] = torch.cat([windows[-1], windows[-1].new_zeros(rows, missing, *event)], dim=1)
    return torch.stack(windows)


def unroll_windows(
    student: Student, inputs: Shaped[Tensor, "BW width *x"], start: Float[Tensor, "BW K d"]
) -> Float[Tensor, "BW width K d"]:
    """Compute memories after each input of each window, with gradients only inside the window."""
    return student.rollout(inputs, start)[:, 1:]


def cut_rollout(
    student: Student,
    inputs: Shaped[Tensor, "B T *x"],
    memory: Float[Tensor, "B K d"],
    width: int,
    *,
    resets: Bool[Tensor, "B T"] | None = None,
    first: int | None = None,
) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B K d"]]:
    """Roll out with gradients that end every ``width`` steps; return what the readout sees after each input.

    Return also the memory after the last input, without gradients.

    Args:
        student: the student to roll out.
        inputs: all inputs.
        memory: memory before the first input.
        width: number of steps of a window.
        resets: see ``Batch``.
        first: number of steps of the first window, if it is shorter.
    """
    found, cuts = [], list(range(first or width, inputs.shape[1], width))
    windows = inputs.tensor_split(cuts, dim=1)
    parts = [None] * len(windows) if resets is None else resets.tensor_split(cuts, dim=1)
    for window, part in zip(windows, parts, strict=True):
        features, last = student.features(window, memory, resets=part)
        found.append(features)
        memory = last.detach()
    return torch.cat(found, dim=1), memory
