"""Collapse guard: measure whether the teacher's memories still differ, and how well the cell predicts them.

A teacher can reduce the dynamics loss by giving every prefix nearly the same memory. The mean squared error alone
does not show this.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nounroll.core.batch import Batch, apart
from nounroll.core.precision import wide
from nounroll.models.student import Student
from nounroll.objectives.dynamics import dynamics
from nounroll.teacher import Teacher

MOST_MEMORIES = 512  # rows from which a spectrum is computed
_ROWS, _TIMES = 16, 32  # sequences and time steps that the guard measures
_ROUNDING = 1e-10  # variance relative to the mean square below which float32 is unreliable
_ALIKE = 0.01  # memories with a smaller variance, as a share of their mean square, count as equal


@dataclass(frozen=True)
class Spread:
    """Spread of a set of memories in its space.

    Attributes:
        variance: variance of the memories relative to their mean square: 0 if all are equal, 1 if their mean is 0.
        rank: effective rank, exp of the entropy of the covariance's normalised eigenvalues (Roy & Vetterli 2007):
            the number of directions in which memories differ. 0 if they are equal.
    """

    variance: float
    rank: float


def spectrum(memories: Float[Tensor, "N K d"]) -> Float[Tensor, "M"]:
    """Compute the eigenvalues of the covariance of at most 512 rows, largest first, as shares of the variance.

    All are 0 if the memories are equal.
    """
    rows = wide(memories.detach().flatten(1))
    if len(rows) > MOST_MEMORIES:
        rows = rows[torch.linspace(0, len(rows) - 1, MOST_MEMORIES, device=rows.device).long()]
    values = torch.linalg.svdvals(rows - rows.mean(0)).square()
    total = values.sum()
    return values / total if total > _ROUNDING * rows.square().sum() else torch.zeros_like(values)


def spread(memories: Float[Tensor, "N K d"]) -> Spread:
    """Compute variance and effective rank of N memories."""
    shares = spectrum(memories)
    centred = memories - memories.mean(0)
    variance = float(centred.square().mean() / memories.square().mean().clamp(min=1e-30))
    rank = float(torch.special.entr(shares).sum().exp()) if shares.any() else 0.0
    return Spread(variance, rank)


@torch.no_grad()
def guard(
    student: Student, teacher: Teacher, batch: Batch, there: Bool[Tensor, "B T"] | None = None
) -> dict[str, float]:
    """Measure the teacher's memories, and the cell's single steps between them.

    Args:
        student, teacher: the networks.
        batch: the sequences.
        there: the real steps of a batch that was split at resets already; None for all.

    Returns:
        memory_variance, memory_rank: see ``Spread``; explained: 1 - MSE(f(m_{t-1}, x_t), m_t) / Var(m), the share of
        the variance of memories that one step of the cell explains: 1 is all of it, 0 is the mean memory's share.
    """
    (batch, split), device = apart(batch.rows(0, _ROWS)), student.empty_memory.device
    there = there if split is None else split
    batch = batch.rows(0, _ROWS).to(device)
    times = torch.linspace(0, batch.length - 1, min(_TIMES, batch.length), device=batch.inputs.device).long()
    positions = torch.cat([times, times + 1]).expand(batch.batch_size, -1)
    before, after = (part.flatten(0, 1) for part in teacher.memories(batch.inputs, positions).chunk(2, dim=1))
    inputs = batch.inputs[:, times].flatten(0, 1)
    if there is not None:  # ignore padding
        kept = there[:_ROWS].to(device)[:, times].flatten()
        before, after, inputs = before[kept], after[kept], inputs[kept]
    error = dynamics(student.step(inputs, before), after).mean()
    variance = (after - after.mean(0)).square().mean()
    explained = float(1 - error / variance) if variance > 0 else 0.0
    found = spread(after)
    return {"memory_variance": found.variance, "memory_rank": found.rank, "explained": explained}


def warning(figures: Mapping[str, float]) -> str:
    """Return a one-line warning if the figures of ``guard`` show collapsed memories; else an empty text."""
    if figures.get("memory_variance", 1.0) >= _ALIKE:
        return ""
    return f"memories have collapsed: their variance is {figures['memory_variance']:.1e} of their mean square"
