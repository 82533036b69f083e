"""Measurement of what a network has forgotten of an old task."""

from collections.abc import Iterable

import torch

from nounroll.core.batch import Batch
from nounroll.models.student import Student
from nounroll.objectives.dynamics import VARIANCE_FLOOR, dynamics
from nounroll.rollout.evaluate import evaluate

_SHOWN = ("loss", "bits", "accuracy", "rmse")


@torch.no_grad()
def forgetting(old: Student, new: Student, batches: list[Batch], *, same_readout: bool) -> dict[str, float]:
    """Measure a network on an old task, before and after it learnt another task.

    Args:
        old, new: the network before and after.
        batches: sequences of the old task.
        same_readout: both networks predict the same targets; otherwise only memories are compared.

    Returns:
        memory_change: mean squared distance of the memories, as a share of the old ones' variance.
        old_loss_before, old_loss and, if the space has them, bits, accuracy and rmse: metrics on the old task.
    """
    found = {"memory_change": _change(old, new, batches)}
    if same_readout:
        for student, ending in ((old, "_before"), (new, "")):
            metrics = evaluate(student, batches)
            found |= {f"old_{name}{ending}": metrics[name] for name in _SHOWN if name in metrics}
    return found


def _change(old: Student, new: Student, batches: Iterable[Batch]) -> float:
    away = variance = 0.0
    for batch in batches:
        before, after = old.rollout(batch.inputs, resets=batch.resets), new.rollout(batch.inputs, resets=batch.resets)
        away += float(dynamics(after, before).mean()) * batch.mask.numel()
        variance += float(before.var(dim=(0, 1), correction=0).mean().clamp(min=VARIANCE_FLOOR)) * batch.mask.numel()
    return away / variance
