"""The teacher's labels of a batch, asked for by position."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from nounroll.processes import some_rows
from nounroll.rollout.windows import at_times, scattered
from nounroll.teacher import Teacher

Label: TypeAlias = Callable[[Tensor], Tensor]  # positions (B, S), where t + 1 is m_t -> labels (B, S, K, d)


def labels(
    teacher: Teacher, inputs: Shaped[Tensor, "B T *x"], needed: Int[Tensor, "B n"] | None, *, keep: bool
) -> Label:
    """Labels by position.

    Args:
        teacher: makes them.
        inputs: of the batch.
        needed: the only positions that will be asked for; None is any.
        keep: make those once and keep them; otherwise each is made where it is asked for.
    """
    if not keep:
        read = teacher.read(inputs)
        return lambda positions: teacher.labels(read, positions)
    if needed is None:
        memories = teacher.memories(inputs)
        return lambda positions: at_times(memories, positions)
    some = teacher.memories(inputs, needed)
    place = needed.new_zeros(len(needed), inputs.shape[1] + 1)
    place.scatter_(1, needed, torch.arange(needed.shape[1], device=needed.device).expand_as(needed))
    return lambda positions: at_times(some, place.gather(1, positions))


def some_labels(
    label: Label, times: Int[Tensor, "B S"], most: int, generator: torch.Generator
) -> Float[Tensor, "R K d"]:
    """At most ``most`` of the labels m_t at ``times``, of all processes, for the statistics of all."""
    rows, count = times.shape

    def pick(places: Int[Tensor, "R"]) -> Float[Tensor, "R K d"]:
        row = places // count
        return scattered(label, rows, row, times[row, places % count] + 1)

    return some_rows(rows * count, most, generator, pick, times.device)
