"""The collapse guard: do the teacher's memories still differ, and does the cell predict how?

A teacher can make the dynamics loss small by giving every prefix nearly the same memory; a mean square error alone
does not show it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.core.batch import Batch, apart
from nounroll.models.student import Student
from nounroll.objectives.dynamics import dynamics
from nounroll.teacher import Teacher

MOST_MEMORIES = 512  # rows that a spectrum is computed from
_ROWS, _TIMES = 16, 32  # sequences and time steps that the guard looks at
_ROUNDING = 1e-10  # variance, relative to the mean square, below which float32 tells nothing
_ALIKE = 0.01  # memories that vary by less than this share of their mean square are as good as one


@dataclass(frozen=True)
class Spread:
    """Spread of a set of memories in its space.

    Attributes:
        variance: of the memories, relative to their mean square: 0 when all are equal, 1 when their mean is 0.
        rank: effective rank, exp of the entropy of the covariance's normalised eigenvalues (Roy & Vetterli 2007):
            in how many directions memories differ. 0 when they do not.
    """

    variance: float
    rank: float


def spectrum(memories: Float[Tensor, "N K d"]) -> Float[Tensor, "M"]:
    """Eigenvalues of the covariance, largest first, as shares of the variance; of at most 512 of the rows.

    All 0 when memories do not differ.
    """
    rows = memories.detach().flatten(1).double()
    if len(rows) > MOST_MEMORIES:
        rows = rows[torch.linspace(0, len(rows) - 1, MOST_MEMORIES, device=rows.device).long()]
    values = torch.linalg.svdvals(rows - rows.mean(0)).square()
    total = values.sum()
    return values / total if total > _ROUNDING * rows.square().sum() else torch.zeros_like(values)


def spread(memories: Float[Tensor, "N K d"]) -> Spread:
    """Variance and effective rank of N memories."""
    shares = spectrum(memories)
    centred = memories - memories.mean(0)
    variance = float(centred.square().mean() / memories.square().mean().clamp(min=1e-30))
    rank = float(torch.special.entr(shares).sum().exp()) if shares.any() else 0.0
    return Spread(variance, rank)


@torch.no_grad()
def guard(student: Student, teacher: Teacher, batch: Batch) -> dict[str, float]:
    """Figures of the teacher's memories, and of the cell's single steps between them.

    Returns:
        memory_variance, memory_rank: see ``Spread``; explained: 1 - MSE(f(m_{t-1}, x_t), m_t) / Var(m), the share of
        the variance of memories that one step of the cell explains: 1 is all, 0 is what the mean memory would do.
    """
    (batch, there), device = apart(batch.rows(0, _ROWS)), student.empty_memory.device
    batch = batch.rows(0, _ROWS).to(device)
    times = torch.linspace(0, batch.length - 1, min(_TIMES, batch.length), device=batch.inputs.device).long()
    positions = torch.cat([times, times + 1]).expand(batch.batch_size, -1)
    before, after = (part.flatten(0, 1) for part in teacher.memories(batch.inputs, positions).chunk(2, dim=1))
    inputs = batch.inputs[:, times].flatten(0, 1)
    if there is not None:  # what fills up a part is none of it
        kept = there[:_ROWS].to(device)[:, times].flatten()
        before, after, inputs = before[kept], after[kept], inputs[kept]
    error = dynamics(student.step(inputs, before), after).mean()
    variance = (after - after.mean(0)).square().mean()
    explained = float(1 - error / variance) if variance > 0 else 0.0
    found = spread(after)
    return {"memory_variance": found.variance, "memory_rank": found.rank, "explained": explained}


def warning(figures: Mapping[str, float]) -> str:
    """One line when the figures of ``guard`` show memories that have collapsed; nothing otherwise."""
    if figures.get("memory_variance", 1.0) >= _ALIKE:
        return ""
    return f"memories have collapsed: their variance is {figures['memory_variance']:.1e} of their mean square"
