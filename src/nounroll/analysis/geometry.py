"""Memories in two dimensions: principal components of the teacher's and the student's memories."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from nounroll.analysis.trajectories import Trajectories
from nounroll.core.batch import Batch
from nounroll.models.student import Student
from nounroll.rollout.collapse import MOST_MEMORIES

_SEQUENCES, _TIMES = 24, 48  # kept for the picture


@dataclass(frozen=True)
class Geometry:
    """Trajectories of memories in the plane of their first two principal components.

    Attributes:
        times: t + 1 of each point of a trajectory; 0 is m_∅. A shorter sequence has the first of these points.
        own: (sequence, point, 2), the student's rollout.
        labels: the same for the teacher; None without a teacher.
        targets: (sequence, point), the next target that the memory must predict: y_s of the first scored s >= t; None
            after the last. For Real targets, its first coordinate.
        explained: share of the variance along each of the two directions.
    """

    times: list[int]
    own: list[list[list[float]]]
    labels: list[list[list[float]]] | None
    targets: list[list[float | None]]
    explained: list[float]


def geometry(student: Student, seen: Trajectories) -> Geometry:
    """Compute principal components of the student's and teacher's memories together, and trajectories along them.

    The directions come from an exact decomposition of at most 512 memories of each.
    """
    kinds = [memories for memories in (seen.own, seen.labels) if memories is not None]
    sample = torch.cat([_some(seen.real(memories).flatten(1)) for memories in kinds])
    mean = sample.mean(0)
    _, values, directions = torch.linalg.svd(sample - mean, full_matrices=False)
    shares = values.square() / values.square().sum().clamp(min=1e-30)
    missing = max(0, 2 - len(directions))  # a memory of one number has one direction
    plane, shares = F.pad(directions[:2], (0, 0, 0, missing)), F.pad(shares[:2], (0, missing))
    times = torch.linspace(0, seen.batch.length, min(_TIMES, seen.batch.length + 1)).round().long()

    counts = [int((times <= length).sum()) for length in seen.lengths[:_SEQUENCES]]

    def drawn(memories: Float[Tensor, "N T1 K d"]) -> list[list[list[float]]]:
        points = ((memories[:_SEQUENCES, times].flatten(2) - mean) @ plane.T).tolist()
        return [[[round(c, 4) for c in one] for one in path[:n]] for path, n in zip(points, counts, strict=True)]

    labels = None if seen.labels is None else drawn(seen.labels)
    targets = _next_targets(student, seen.batch.rows(0, _SEQUENCES), times)
    targets = [row[:count] for row, count in zip(targets, counts, strict=True)]
    return Geometry(times.tolist(), drawn(seen.own), labels, targets, shares.tolist())


def _some(rows: Float[Tensor, "N F"]) -> Float[Tensor, "M F"]:
    return rows[torch.linspace(0, len(rows) - 1, min(MOST_MEMORIES, len(rows))).long()]


def _next_targets(student: Student, batch: Batch, times: Int[Tensor, "P"]) -> list[list[float | None]]:
    values = batch.targets.flatten(2)[..., 0] if batch.targets.dim() > 2 else batch.targets
    found: list[list[float | None]] = []
    for row, mask in zip(values.tolist(), batch.mask.tolist(), strict=True):
        ahead: list[float | None] = [None]
        for value, scored in zip(reversed(row), reversed(mask), strict=True):
            ahead.append(float(value) if scored else ahead[-1])
        ahead.reverse()  # ahead[t] is for m_t; m_∅ has the same next target as m_0
        found.append([ahead[max(int(time) - 1, 0)] for time in times])
    return found
