"""Dynamics loss: distance between one step of the cell and the next memory label."""

from jaxtyping import Bool, Float
from torch import Tensor

from nounroll.core import processes

VARIANCE_FLOOR = 1e-4  # keeps errors relative to the labels' variance finite when all labels are equal
_SMALLEST = 1e-8  # keeps the gradient of a power finite at an error of 0


def dynamics(
    predicted: Float[Tensor, "*n K d"], label: Float[Tensor, "*n K d"], kept: Bool[Tensor, "K d"] | None = None
) -> Float[Tensor, "*n"]:
    """Compute the mean over the K d coordinates of (f(m_{t-1}, x_t) - m_t)^2, for each transition.

    arXiv 2606.06479, Eq. 3. With ``kept`` the mean is over these coordinates. The caller decides whether to detach
    the label.
    """
    errors = (predicted - label).square()
    if kept is None or kept.is_meta:  # the meta device has no values of kept
        return errors.mean(dim=(-2, -1))
    return errors.flatten(-2)[..., kept.flatten()].mean(dim=-1)


def power_mean(
    errors: Float[Tensor, "*n"], power: float, counts: Bool[Tensor, "*n"] | None = None
) -> Float[Tensor, ""]:
    """Compute (mean of e^p)^(1/p) over the whole batch: the mean at p = 1, nearer to the largest error as p grows.

    ``counts`` selects the errors that count; the result is 0 if there are none.
    """
    if counts is not None:
        if not counts.any():
            return 0 * errors.sum()
        errors = errors[counts]
    if power == 1:
        return processes.mean(errors.mean())
    errors = errors + _SMALLEST
    # Powers are computed relative to the largest error, so that they neither underflow nor overflow.
    largest = processes.largest(errors.amax())
    return largest * processes.mean((errors / largest).pow(power).mean()).pow(1 / power)


def scale_gradient(values: Float[Tensor, "..."], share: float) -> Float[Tensor, "..."]:
    """Return the values unchanged, with ``share`` of their gradient."""
    return values.detach() if share == 0 else values if share == 1 else share * values + (1 - share) * values.detach()
