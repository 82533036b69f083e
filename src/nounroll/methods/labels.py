"""Teacher's labels of a batch, looked up by position."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from nounroll.core.batch import Batch, apart
from nounroll.core.processes import alone, some_rows
from nounroll.rollout.windows import at_times, scattered
from nounroll.teacher import Teacher

Label: TypeAlias = Callable[[Tensor], Tensor]  # positions (B, S), where t + 1 is m_t -> labels (B, S, K, d)


@dataclass(frozen=True)
class Labels:
    """Label lookups of a batch, by position.

    Attributes:
        at: positions (B, S), where t + 1 is m_t -> labels (B, S, K, d).
        single: rows (R,) and positions (R,) -> labels (R, K, d).
        look_back: the teacher's own predictions from the whole past; None if the teacher makes none.
    """

    at: Label
    single: Callable[[Tensor, Tensor], Tensor]
    look_back: Float[Tensor, "B T V"] | None = None


def separate(batch: Batch) -> tuple[Batch, Bool[Tensor, "R t"] | None]:
    """Split rows at resets (``apart``) for a taught method: no label, window or later target crosses a reset.

    Raises:
        ValueError: several processes share the batch, and the split would give them different numbers of rows.
    """
    if batch.resets is not None and not alone():
        raise ValueError("batches have resets, and several processes share them; train smt and dmt in one process")
    return apart(batch)


def labels(
    teacher: Teacher, inputs: Shaped[Tensor, "B T *x"], needed: Int[Tensor, "B n"] | None, *, learn: bool = True
) -> Labels:
    """Build label lookups for a batch.

    Args:
        teacher: source of the labels.
        inputs: inputs of the batch.
        needed: the only positions that will be looked up; their labels are computed at once. None reads the inputs once
            and computes the labels of any positions on demand.
        learn: let gradients flow to the teacher.
    """
    ask: Any = (lambda it: it) if learn else torch.no_grad()
    if needed is None:
        read, labels_by = ask(teacher.read)(inputs), ask(teacher.labels)

        def at(positions: Int[Tensor, "B S"]) -> Float[Tensor, "B S K d"]:
            return labels_by(read, positions)

        return Labels(at, lambda row, position: scattered(at, len(inputs), row, position), ask(teacher.look_back)(read))
    rows, positions = len(inputs), inputs.shape[1] + 1
    if needed.shape[1] > positions:  # some positions occur twice
        needed = torch.arange(positions, device=needed.device).expand(rows, -1)
    some = ask(teacher.memories)(inputs, needed)
    place = needed.new_zeros(rows, positions)
    place.scatter_(1, needed, torch.arange(needed.shape[1], device=needed.device).expand_as(needed))
    return Labels(
        lambda positions: at_times(some, place.gather(1, positions)),
        lambda row, position: some[row, place[row, position]],
    )


def some_labels(
    found: Labels,
    times: Int[Tensor, "B S"],
    most: int,
    generator: torch.Generator,
    used: Bool[Tensor, "B S"] | None = None,
) -> Float[Tensor, "R K d"]:
    """Sample at most ``most`` of the labels m_t at ``times``, across all processes, for common statistics.

    ``used`` restricts the sample to some positions; it is for a single process only.
    """
    rows, count = times.shape

    def pick(places: Int[Tensor, "R"]) -> Float[Tensor, "R K d"]:
        row = places // count
        return found.single(row, times[row, places % count] + 1)

    if used is None:
        return some_rows(rows * count, most, generator, pick, times.device)
    order = torch.randperm(rows * count, generator=generator).to(times.device)
    return pick(order[used.flatten()[order]][:most])
