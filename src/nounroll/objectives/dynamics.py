"""The dynamics loss: how far one step of the cell lands from the next memory label."""

from jaxtyping import Bool, Float
from torch import Tensor

from nounroll.core import processes

VARIANCE_FLOOR = 1e-4  # keeps errors relative to the labels' variance finite when all labels are equal
_SMALLEST = 1e-8  # keeps the gradient of a power finite at an error of 0


def dynamics(
    predicted: Float[Tensor, "*n K d"], label: Float[Tensor, "*n K d"], kept: Bool[Tensor, "K d"] | None = None
) -> Float[Tensor, "*n"]:
    """mean over the K d coordinates of (f(m_{t-1}, x_t) - m_t)^2, for each transition.

    arXiv 2606.06479, Eq. 3. With ``kept`` the mean is over these coordinates. It takes no decision on gradients: detach
    the label, or not, at the call.
    """
    errors = (predicted - label).square()
    return errors.mean(dim=(-2, -1)) if kept is None else errors.flatten(-2)[..., kept.flatten()].mean(dim=-1)


def power_mean(
    errors: Float[Tensor, "*n"], power: float, counts: Bool[Tensor, "*n"] | None = None
) -> Float[Tensor, ""]:
    """(mean of e^p)^(1/p) over the whole batch: the plain mean at p = 1, nearer to the largest error as p grows.

    With ``counts`` it is over these errors; 0 where there are none.
    """
    if counts is not None:
        if not counts.any():
            return 0 * errors.sum()
        errors = errors[counts]
    if power == 1:
        return processes.mean(errors.mean())
    errors = errors + _SMALLEST
    # Powers are taken relative to the largest error: they neither vanish nor overflow.
    largest = processes.largest(errors.amax())
    return largest * processes.mean((errors / largest).pow(power).mean()).pow(1 / power)


def scale_gradient(values: Float[Tensor, "..."], share: float) -> Float[Tensor, "..."]:
    """The values as they are, with ``share`` of their gradient."""
    return values.detach() if share == 0 else values if share == 1 else share * values + (1 - share) * values.detach()
