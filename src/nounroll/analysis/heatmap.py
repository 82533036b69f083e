"""Heat map of the memory along one sequence."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.analysis.trajectories import Trajectories

_NUMBERS, _STEPS = 64, 128  # kept for the picture


@dataclass(frozen=True)
class HeatMap:
    """Heat map of some numbers of the memory, the slowest first, over the first steps of the longest sequence.

    Each number is standardised over all sequences, time steps, student and teacher, so that student and teacher are
    comparable. A number is slow if it changes little per step relative to its variance.

    Attributes:
        own: (t + 1, number), the student's rollout; index 0 is m_∅.
        labels: the same for the teacher; None without a teacher.
        numbers: total number of numbers in the memory; the kept ones are spread evenly over the order of slowness.
    """

    own: list[list[float]]
    labels: list[list[float]] | None
    numbers: int


def heatmap(seen: Trajectories) -> HeatMap:
    """Build the heat map of the student's and the teacher's memory of one sequence."""
    kinds = [memories.flatten(2) for memories in (seen.own, seen.labels) if memories is not None]
    every = torch.cat([seen.real(memories).flatten(1) for memories in (seen.own, seen.labels) if memories is not None])
    mean, scale = every.mean(0), every.std(0).clamp(min=1e-6)
    lengths = seen.lengths
    longest = max(range(len(lengths)), key=lambda row: lengths[row])
    steps = kinds[0].diff(dim=1).square()
    steps = steps.flatten(0, 1) if seen.there is None else steps[seen.there]
    changes = steps.mean(0) / seen.real(seen.own).flatten(1).var(0).clamp(min=1e-12)
    numbers = len(changes)
    kept = changes.argsort()[torch.linspace(0, numbers - 1, min(_NUMBERS, numbers)).long()]

    def drawn(memories: Float[Tensor, "N T1 F"]) -> list[list[float]]:
        values = ((memories[longest, : min(_STEPS, lengths[longest]) + 1] - mean) / scale)[:, kept]
        return [[round(value, 2) for value in row] for row in values.tolist()]

    return HeatMap(drawn(kinds[0]), drawn(kinds[1]) if len(kinds) > 1 else None, numbers)
