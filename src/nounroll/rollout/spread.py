"""The spread of a network's Gaussians, fitted to held-out errors.

A network that has memorised a few targets states standard deviations that are too small. One change of the readout's
bias for each number makes the mean squared error, in squares of the stated deviation, 1. Means stay as they are.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.core.batch import Batch
from nounroll.core.precision import wide
from nounroll.core.spaces.likelihoods.base import LOG_SCALE_LIMIT, limited
from nounroll.models.student import Student
from nounroll.rollout.chunks import by_rows, parts
from nounroll.rollout.evaluate import numbers_of

_FARTHEST = 2 * LOG_SCALE_LIMIT  # largest mean of a number before it is limited; beyond it deviations hardly change
_HALVINGS = 50  # of the interval that holds a bias
_ROUNDING = 1e-7  # keeps a number that float32 has rounded to the limit below it


@torch.no_grad()
def fit_spread(student: Student, batches: list[Batch]) -> None:
    """Fit the stated standard deviations of a student, in place, to its errors on held-out sequences.

    Args:
        student: the student; its targets have ``has_spread``.
        batches: held-out sequences. Without a finite error above 0 the student stays unchanged.
    """
    errors: list[Tensor] = []
    stated: list[Tensor] = []
    space: Any = student.targets
    device = student.empty_memory.device
    for batch in (part.to(device) for whole in batches for part in by_rows(whole, numbers_of(student))):
        features, _ = student.features(batch.inputs, resets=batch.resets)
        for outputs, wanted in parts(student.head, space, features[batch.mask], batch.targets[batch.mask]):
            mean, log_scale = wide(outputs).chunk(2, dim=-1)
            errors.append(((wide(wanted) - mean) * torch.exp(-log_scale)).square())
            stated.append(space.shrink(log_scale))
    squares = torch.cat(errors) if errors else torch.zeros(0, 0)
    if squares.numel() and bool(squares.mean(0).log().isfinite().all()):
        bias = student.head.out.bias[squares.shape[1] :]
        bias += _change(squares, torch.cat(stated)).to(bias)


def _change(squares: Float[Tensor, "N d"], stated: Float[Tensor, "N d"]) -> Float[Tensor, "d"]:
    """Find the change of each bias after which the mean of squared errors is 1, by halving an interval.

    Args:
        squares: squared errors in squares of the stated deviation.
        stated: logarithms of the stated deviations, without their unit; ``limited`` made them.
    """
    share = (stated / LOG_SCALE_LIMIT).clamp(_ROUNDING - 1, 1 - _ROUNDING)
    raw = LOG_SCALE_LIMIT * share.atanh()
    low, high = -_FARTHEST - raw.mean(0), _FARTHEST - raw.mean(0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        too_small = (squares * torch.exp(2 * (stated - limited(raw + middle)))).mean(0) > 1
        low, high = torch.where(too_small, middle, low), torch.where(too_small, high, middle)
    return (low + high) / 2
