"""Memories of a student and its teacher on the same sequences: the input of most of the analysis."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nounroll.core.batch import Batch, apart
from nounroll.models.student import Student
from nounroll.teacher import Teacher


@dataclass(frozen=True)
class Trajectories:
    """Memories along N sequences; index 0 is m_∅ and index t + 1 is m_t.

    Attributes:
        batch: the sequences.
        own: memories of the student's rollout from m_∅.
        labels: memories of the teacher; None without a teacher.
        there: the real steps of sequences that end earlier, without padding; None if all are.
    """

    batch: Batch
    own: Float[Tensor, "N T1 K d"]
    labels: Float[Tensor, "N T1 K d"] | None = None
    there: Bool[Tensor, "N T"] | None = None

    @property
    def lengths(self) -> list[int]:
        """Steps of each sequence, without padding."""
        rows, length = self.own.shape[0], self.own.shape[1] - 1
        return [length] * rows if self.there is None else self.there.sum(1).tolist()

    def real(self, memories: Float[Tensor, "N T1 K d"]) -> Float[Tensor, "M K d"]:
        """Return the memories after the real steps, of the student or the teacher."""
        return memories[:, 1:].flatten(0, 1) if self.there is None else memories[:, 1:][self.there]


@torch.no_grad()
def trajectories(student: Student, teacher: Teacher | None, batches: list[Batch]) -> Trajectories:
    """Compute the memories of all sequences of ``batches``, which have the same length.

    Rows are split at resets, and padded to the longest part.
    """
    longest = max(apart(batch)[0].length for batch in batches)
    parts = [apart(batch, longest) for batch in batches]
    batches, masks = [batch for batch, _ in parts], [there for _, there in parts]
    there = torch.cat([torch.ones_like(b.mask) if m is None else m for b, m in zip(batches, masks, strict=True)])
    batch = Batch(*(torch.cat(values) for values in Batch.arrays(batches).values()))
    own = torch.cat([student.rollout(b.inputs) for b in batches])
    labels = None if teacher is None else torch.cat([teacher.memories(b.inputs) for b in batches])
    return Trajectories(batch, own, labels, None if there.all() else there)
