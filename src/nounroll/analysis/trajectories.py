"""Memories of a student and its teacher on the same sequences: the input of most of the analysis."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.core.batch import Batch
from nounroll.models.student import Student
from nounroll.teacher import Teacher


@dataclass(frozen=True)
class Trajectories:
    """Memories along N sequences; index 0 is m_∅ and index t + 1 is m_t.

    Attributes:
        batch: the sequences.
        own: memories of the student's rollout from m_∅.
        labels: memories of the teacher; None without a teacher.
    """

    batch: Batch
    own: Float[Tensor, "N T1 K d"]
    labels: Float[Tensor, "N T1 K d"] | None = None


@torch.no_grad()
def trajectories(student: Student, teacher: Teacher | None, batches: list[Batch]) -> Trajectories:
    """Compute the memories of all sequences of ``batches``, which have the same length."""
    batch = Batch(*(torch.cat(values) for values in Batch.arrays(batches).values()))
    own = torch.cat([student.rollout(b.inputs) for b in batches])
    labels = None if teacher is None else torch.cat([teacher.memories(b.inputs) for b in batches])
    return Trajectories(batch, own, labels)
