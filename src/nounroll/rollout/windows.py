"""Cut time into windows that unroll side by side."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from nounroll.student import Student


def window_starts(length: int, width: int, offset: int) -> Int[Tensor, "W"]:
    """First time step of each window of ``width`` steps, so that together they cover 0 .. length - 1.

    Windows follow each other without overlap, moved back by ``offset`` (0 .. width - 1); the first and
    the last are pushed inside, so that the start, where memory is m_∅, and the end are always covered.
    """
    count = -(-(length + offset) // width)
    return (torch.arange(count) * width - offset).clamp(0, length - width).unique()


def random_windows(length: int, width: int, generator: torch.Generator) -> Int[Tensor, "W"]:
    """``window_starts`` at an offset drawn at random: gradients end at other times in every batch."""
    return window_starts(length, width, int(torch.randint(width, (), generator=generator)))


def cut(values: Shaped[Tensor, "B T *x"], starts: Int[Tensor, "W"], width: int) -> Shaped[Tensor, "BW width *x"]:
    """The windows of each row, one row each: (B, T, ...) -> (B W, width, ...)."""
    times = starts.to(values.device)[:, None] + torch.arange(width, device=values.device)
    return values[:, times].flatten(0, 1)


def unroll_windows(
    student: Student, inputs: Shaped[Tensor, "BW width *x"], start: Float[Tensor, "BW K d"]
) -> Float[Tensor, "BW width K d"]:
    """Memories after each input of each window, with gradients through the window and no further."""
    return student.rollout(inputs, start)[:, 1:]
