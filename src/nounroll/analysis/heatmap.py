"""The memory along one sequence, number by number."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.analysis.trajectories import Trajectories

_NUMBERS, _STEPS = 64, 128  # that are kept to be drawn


@dataclass(frozen=True)
class HeatMap:
    """Some numbers of the memory, the slowest first, over the first steps of the first sequence.

    Each is centred and divided by its standard deviation over all sequences, time steps, and student and teacher, so
    that the two compare. Slow is a number that changes little from one step to the next for its variance.

    Attributes:
        own: (t + 1, number) of the student's rollout; index 0 is m_∅.
        labels: the same of the teacher; None where there is none.
        numbers: how many the memory has in all; those kept are spread evenly over them, by slowness.
    """

    own: list[list[float]]
    labels: list[list[float]] | None
    numbers: int


def heatmap(seen: Trajectories) -> HeatMap:
    """The student's memory of the first sequence beside its teacher's."""
    kinds = [memories.flatten(2) for memories in (seen.own, seen.labels) if memories is not None]
    every = torch.cat([memories.flatten(0, 1) for memories in kinds])
    mean, scale = every.mean(0), every.std(0).clamp(min=1e-6)
    changes = kinds[0].diff(dim=1).square().mean((0, 1)) / kinds[0].flatten(0, 1).var(0).clamp(min=1e-12)
    numbers = len(changes)
    kept = changes.argsort()[torch.linspace(0, numbers - 1, min(_NUMBERS, numbers)).long()]

    def drawn(memories: Float[Tensor, "N T1 F"]) -> list[list[float]]:
        values = ((memories[0, : _STEPS + 1] - mean) / scale)[:, kept]
        return [[round(value, 2) for value in row] for row in values.tolist()]

    return HeatMap(drawn(kinds[0]), drawn(kinds[1]) if len(kinds) > 1 else None, numbers)
