"""Norm of the gradient at the memory of each step, |dL/dm_t| (arXiv 2606.06479, gradient norms).

Let s be the last scored step of a sequence. For every memory m_∅, m_0, .. m_{s-1} this measures the gradient of the
next loss that can correct the memory:

- **BPTT** uses the readout's loss. L is the loss of step s alone, as in a long-range task. Its gradient reaches m_t
  through the student's rollout, a product of s - t Jacobians of the cell.
- **SMT** has a loss for every transition. L is the one-step error of the next transition (Eq. 3), the mean over
  coordinates of |f(m_t, x_{t+1}) - m_{t+1}|^2, on the teacher's memories. Its gradient passes through one Jacobian.

Both use the same sequences, cell, weights and precision of training, and neither is scaled. Compare their shape over t,
not their height, because the two losses have different units.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.core.batch import Batch
from nounroll.models.student import Student
from nounroll.objectives.dynamics import dynamics
from nounroll.objectives.readout import negative_log_likelihood


@dataclass(frozen=True)
class Gradients:
    """Euclidean norms of dL/dm_t, averaged over sequences.

    Attributes:
        norms: for m_∅, m_0, .. m_{s-1}.
        ratio: the largest divided by the smallest; inf if some are 0 in float32.
    """

    norms: list[float]
    ratio: float


def bptt_gradients(student: Student, batch: Batch) -> Gradients:
    """Compute the gradient of the last scored step's loss through the student's rollout from m_∅."""
    last = _last_scored(batch)
    rows = batch.mask[:, last].nonzero()[:, 0]
    x, y = batch.inputs[rows], batch.targets[rows, last]
    memories = [student.initial_memory(len(rows)).detach().requires_grad_()]
    for t in range(last + 1):
        memories.append(student.step(x[:, t], memories[-1]))
    loss = negative_log_likelihood(student.targets, student.readout(memories[-1]), y).sum()
    found = torch.autograd.grad(loss, memories[:-1], allow_unused=True, materialize_grads=True)
    return _summary(torch.stack(found, dim=1))


def smt_gradients(student: Student, labels: Float[Tensor, "N T1 K d"], batch: Batch) -> Gradients:
    """Compute the gradient of each transition's one-step error at its first memory."""
    last = _last_scored(batch)
    before = labels[:, : last + 1].detach().requires_grad_()
    after = labels[:, 1 : last + 2].detach()
    predicted = student.step(batch.inputs[:, : last + 1].flatten(0, 1), before.flatten(0, 1)).view_as(after)
    (found,) = torch.autograd.grad(dynamics(predicted, after).sum(), before)
    return _summary(found)


def _last_scored(batch: Batch) -> int:
    scored = batch.mask.any(0).nonzero()
    return int(scored[-1]) if len(scored) else batch.length - 1


def _summary(gradients: Float[Tensor, "N S K d"]) -> Gradients:
    norms = gradients.flatten(2).norm(dim=-1).double().mean(0)
    smallest = float(norms.min())
    return Gradients(norms.tolist(), float(norms.max()) / smallest if smallest else float("inf"))
