"""Measure of what a network has forgotten of a task since it was another network."""

from collections.abc import Iterable

import torch

from nounroll.core.batch import Batch
from nounroll.models.student import Student
from nounroll.objectives.dynamics import VARIANCE_FLOOR, dynamics
from nounroll.rollout.evaluate import evaluate

_SHOWN = ("loss", "bits", "accuracy", "rmse")


@torch.no_grad()
def forgetting(old: Student, new: Student, batches: list[Batch], *, same_readout: bool) -> dict[str, float]:
    """Figures of a network before and after it learnt another task.

    Args:
        old, new: before and after.
        batches: of the old task.
        same_readout: both predict the same targets; otherwise only memories are compared.

    Returns:
        memory_change: mean squared distance of the memories, as a share of the old ones' variance.
        old_loss_before, old_loss and, where there are such, bits, accuracy and rmse: of the old task.
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
