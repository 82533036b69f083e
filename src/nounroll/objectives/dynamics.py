"""The dynamics loss: how far one step of the cell lands from the next memory label."""

from jaxtyping import Float
from torch import Tensor


def dynamics(predicted: Float[Tensor, "*n K d"], label: Float[Tensor, "*n K d"]) -> Float[Tensor, "*n"]:
    """mean over the K d coordinates of (f(m_{t-1}, x_t) - m_t)^2, for each transition.

    arXiv 2606.06479, Eq. 3. It takes no decision on gradients: detach the label, or not, at the call.
    """
    return (predicted - label).square().mean(dim=(-2, -1))
