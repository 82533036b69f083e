"""Loss by position in a sequence, and by number of steps ahead of a memory."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nounroll.cells.base import observe
from nounroll.core.batch import Batch
from nounroll.models.student import Student
from nounroll.rollout.chunks import scores
from nounroll.rollout.packing import foretold
from nounroll.teacher.decoder import Decoder

_WINDOWS = 32  # memories of a sequence that the decoder starts from


@dataclass(frozen=True)
class Positions:
    """Figures of the readout after each step; None if no sequence is scored there.

    Attributes:
        loss: nats, for t = 0 .. T - 1.
        hits: share of correct symbols (Categorical), or negative squared error (Real).
    """

    loss: list[float | None]
    hits: list[float | None]


@torch.no_grad()
def by_position(student: Student, memories: Float[Tensor, "N T1 K d"], batch: Batch) -> Positions:
    """Compute the loss of the student's readout at each t, for the student's memories or the teacher's."""
    losses, right = scores(student.head, student.targets, observe(student.cell, memories[:, 1:]), batch.targets)
    return Positions(_means(losses, batch.mask), _means(right, batch.mask))


@torch.no_grad()
def by_steps_ahead(
    student: Student, decoder: Decoder, memories: Float[Tensor, "N T1 K d"], batch: Batch, horizon: int
) -> list[float | None]:
    """Compute the loss of the teacher's decoder, in nats, for y_t, y_{t+1}, ... from m_t and the inputs in between.

    The decoder is trained to predict the future from a memory (arXiv 2606.06479, Eq. 2). The growth of its loss with
    the distance shows how far ahead a memory predicts. The memories may be the teacher's or the student's.

    Returns:
        The mean over sequences and up to 32 times t, for 0 .. horizon - 1 steps ahead; None if no step is scored.
    """
    horizon, length = min(horizon, batch.length), batch.length
    total, count = torch.zeros(horizon, dtype=torch.float64), torch.zeros(horizon, dtype=torch.int64)
    for t in torch.linspace(0, length - 1, min(_WINDOWS, length)).long().tolist():
        end = min(t + horizon, length)
        losses = foretold(decoder, student.targets, memories[:, t + 1], batch, slice(t, end))
        mask = batch.mask[:, t:end]
        total[: end - t] += torch.where(mask, losses, 0.0).double().sum(0)
        count[: end - t] += mask.sum(0)
    return _present(total, count)


def _means(values: Float[Tensor, "N T"], mask: Bool[Tensor, "N T"]) -> list[float | None]:
    return _present(torch.where(mask, values, 0.0).double().sum(0), mask.sum(0))


def _present(total: Float[Tensor, "T"], count: Int[Tensor, "T"]) -> list[float | None]:
    """Divide totals by counts; None if the count is 0."""
    return [float(value) / n if n else None for value, n in zip(total, count.tolist(), strict=True)]
