"""How well a student does alone: rollouts from m_∅ on held-out sequences."""

import math
from collections.abc import Callable

import torch
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
    total, scored, hit, drift, memories_seen = 0.0, 0, 0.0, 0.0, 0
    for batch in (b.to(device) for b in batches):
        memories = student.rollout(batch.inputs)
        outputs = student.readout(memories[:, 1:])
        losses = negative_log_likelihood(student.targets, outputs, batch.targets)
        total += float(losses[batch.mask].double().sum())
        hit += float(hits(student.targets, outputs, batch.targets)[batch.mask].double().sum())
        scored += int(batch.mask.sum())
        if labels is not None:
            drift += float(dynamics(memories[:, 1:], labels(batch.inputs)[:, 1:]).double().sum())
            memories_seen += batch.batch_size * batch.length
    loss = total / max(scored, 1)
    metrics = {"loss": loss, "bits": loss / math.log(2)}
    if isinstance(student.targets, Categorical):
        metrics["accuracy"] = hit / max(scored, 1)
    else:
        metrics["rmse"] = math.sqrt(max(-hit, 0.0) / max(scored, 1) / student.targets.d)
    if labels is not None:
        metrics["drift"] = drift / max(memories_seen, 1)
    return metrics
