"""The last linear map of a network: to logits, or to a Gaussian in the unit of the targets."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nounroll.batch import Real, Space

_LOG_SCALE_LIMIT = 7.0  # a Gaussian's log standard deviation, relative to the scale: neither 0 nor inf


class Outputs(nn.Linear):
    """States -> V numbers, by which a likelihood judges targets as the data has them.

    Categorical: logits. Real: with (u, v) the linear map, in float32 or finer,

        mean = shift + scale u,   log standard deviation = log(scale) + 7 tanh(v / 7)

    so that the network itself computes with standardised values, whatever the unit.

    Args:
        width: of the states.
        targets: space of y_t.
    """

    def __init__(self, width: int, targets: Space) -> None:
        super().__init__(width, targets.readout_size)
        self.targets = targets

    def forward(self, input: Float[Tensor, "... width"]) -> Float[Tensor, "... V"]:
        raw = super().forward(input)
        return in_unit(self.targets, raw) if isinstance(self.targets, Real) else raw


def in_unit(space: Real, raw: Float[Tensor, "*n V"]) -> Float[Tensor, "*n V"]:
    """Mean and log standard deviation in the unit of a space, from the numbers of a linear map."""
    mean, log_scale = raw.to(torch.promote_types(raw.dtype, torch.float32)).chunk(2, dim=-1)
    log_scale = _LOG_SCALE_LIMIT * torch.tanh(log_scale / _LOG_SCALE_LIMIT)
    if space.scale is not None:
        shift, scale = space.moments(mean)
        mean, log_scale = shift + scale * mean, scale.log() + log_scale
    return torch.cat([mean, log_scale], dim=-1)
