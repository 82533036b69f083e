"""The spread of a network's Gaussians, fitted to held-out errors.

A network that has memorised a few targets states standard deviations that are too small. One factor for each number
makes the mean squared error, in squares of the stated deviation, 1. Means stay as they are.
"""

import torch
from torch import Tensor

from nounroll.core.batch import Batch
from nounroll.models.student import Student
from nounroll.rollout.chunks import by_rows, parts
from nounroll.rollout.evaluate import numbers_of


@torch.no_grad()
def fit_spread(student: Student, batches: list[Batch]) -> None:
    """Scale the stated standard deviations of a student, in place, to its errors on held-out sequences.

    Args:
        student: the student; its targets have ``has_spread``.
        batches: held-out sequences. If they score nothing, or the factors are not finite, the student stays unchanged.
    """
    found: list[Tensor] = []
    device = student.empty_memory.device
    for batch in (part.to(device) for whole in batches for part in by_rows(whole, numbers_of(student))):
        features, _ = student.features(batch.inputs, resets=batch.resets)
        for outputs, wanted in parts(student.head, student.targets, features[batch.mask], batch.targets[batch.mask]):
            mean, log_scale = outputs.double().chunk(2, dim=-1)
            found.append(((wanted - mean) * torch.exp(-log_scale)).square())
    squares = torch.cat(found).mean(0) if found else torch.zeros(0)
    factors = 0.5 * squares.log()
    if factors.numel() and bool(factors.isfinite().all()):
        student.head.out.bias[len(factors) :] += factors
