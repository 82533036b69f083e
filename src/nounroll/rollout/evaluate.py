"""How well a student does alone: rollouts from m_∅ on held-out sequences."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.batch import Batch, Categorical
from nounroll.data.task import SequenceTask, draw
from nounroll.objectives.dynamics import dynamics
from nounroll.objectives.readout import hits, negative_log_likelihood
from nounroll.student import Student

_ROWS = 64  # sequences rolled out at a time


def validation_batches(
    task: SequenceTask, sequences: int, length: int, seed: int, stream: str = "validation"
) -> list[Batch]:
    """The held-out batches of a run: the same for every method, cell and moment of training."""
    held_out = task.validation()
    counts = [min(_ROWS, sequences - start) for start in range(0, sequences, _ROWS)]
    return [draw(held_out, count, length, seed, stream, index) for index, count in enumerate(counts)]


@torch.no_grad()
def evaluate(
    student: Student, batches: list[Batch], labels: Callable[[Tensor], Tensor] | None = None
) -> dict[str, float]:
    """Measure a student on its own rollouts.

    Args:
        student: rolled out from m_∅.
        batches: held-out sequences.
        labels: a teacher's ``memories``; with it, drift is measured too.

    Returns:
        loss: nats per scored element; bits: the same in bits; accuracy (Categorical): share of scored
        elements whose most likely symbol is right; rmse (Real): root mean squared error of the mean;
        drift: mean square distance of the student's memories to the teacher's (with ``labels``).
    """
    device = student.empty_memory.device
    score, drift, memories_seen = _Score(student), 0.0, 0
    for batch in (b.to(device) for b in batches):
        memories = student.rollout(batch.inputs)[:, 1:]
        score.add(batch, memories)
        if labels is not None:
            drift += float(dynamics(memories, labels(batch.inputs)[:, 1:]).double().sum())
            memories_seen += batch.batch_size * batch.length
    metrics = score.metrics()
    if labels is not None:
        metrics["drift"] = drift / max(memories_seen, 1)
    return metrics


@torch.no_grad()
def evaluate_teacher(student: Student, batches: list[Batch], labels: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """Measure a teacher: the student's own readout on the teacher's memories of the same sequences.

    Args:
        student: whose readout it is.
        batches: held-out sequences.
        labels: the teacher's ``memories``.

    Returns:
        loss, bits, and accuracy or rmse, as in ``evaluate``. A student that has a lower loss is past its teacher.
    """
    score = _Score(student)
    for batch in (b.to(student.empty_memory.device) for b in batches):
        score.add(batch, labels(batch.inputs)[:, 1:])
    return score.metrics()


class _Score:
    """Sums over the scored elements."""

    def __init__(self, student: Student) -> None:
        self.student = student
        self.loss, self.hits, self.scored = 0.0, 0.0, 0

    def add(self, batch: Batch, memories: Float[Tensor, "B T K d"]) -> None:
        space, outputs = self.student.targets, self.student.readout(memories)
        losses = negative_log_likelihood(space, outputs, batch.targets)
        self.loss += float(losses[batch.mask].double().sum())
        self.hits += float(hits(space, outputs, batch.targets)[batch.mask].double().sum())
        self.scored += int(batch.mask.sum())

    def metrics(self) -> dict[str, float]:
        space, scored = self.student.targets, max(self.scored, 1)
        loss = self.loss / scored
        if isinstance(space, Categorical):
            return {"loss": loss, "bits": loss / math.log(2), "accuracy": self.hits / scored}
        rmse = math.sqrt(max(-self.hits, 0.0) / scored / space.d)
        return {"loss": loss, "bits": loss / math.log(2), "rmse": rmse}
