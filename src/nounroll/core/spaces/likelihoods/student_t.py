"""Student's t distributions: like Gaussians with heavy tails, and robust to outliers."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from nounroll.core.spaces.likelihoods.base import Likelihood, limited
from nounroll.core.spaces.standard import Standard

_FIRST = 3.0  # initial degrees of freedom are about 1 + this
_SMALLEST = 1e-7  # smallest uniform random number


class StudentT(Likelihood):
    """Parameters: d means, d log scales and d degrees of freedom. These are above 1, so that the means exist."""

    def size(self, d: int) -> int:
        return 3 * d

    def noise_size(self, d: int) -> int:
        return 2 * d

    def parameters(self, raw: Float[Tensor, "*n V"], unit: Standard) -> Float[Tensor, "*n V"]:
        mean, log_scale, freedom = raw.chunk(3, dim=-1)
        freedom = 1 + F.softplus(freedom + _FIRST) + 1e-3
        return torch.cat([unit.place(mean), unit.stretch(limited(log_scale)), freedom], dim=-1)

    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        mean, log_scale, freedom = outputs.chunk(3, dim=-1)
        z = (values - mean) * torch.exp(-log_scale)
        half = (freedom + 1) / 2
        top = torch.lgamma(half) - torch.lgamma(freedom / 2) - 0.5 * (freedom * math.pi).log()
        return (top - log_scale - half * torch.log1p(z**2 / freedom)).sum(-1)

    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B k"], temperature: float, d: int
    ) -> Float[Tensor, "B d"]:
        """Draw by Bailey's polar formula (1994) from two uniform numbers."""
        mean, log_scale, freedom = outputs.chunk(3, dim=-1)
        first, second = torch.special.ndtr(noise).chunk(2, dim=-1)
        radius = (freedom * torch.expm1(-2 / freedom * first.clamp(min=_SMALLEST).log())).clamp(min=0).sqrt()
        return mean + temperature * log_scale.exp() * radius * torch.cos(2 * math.pi * second)

    def mean(self, outputs: Float[Tensor, "*n V"], d: int) -> Float[Tensor, "*n d"]:
        return outputs.chunk(3, dim=-1)[0]

    def relative(self, outputs: Float[Tensor, "*n V"], unit: Standard) -> Float[Tensor, "*n V"]:
        mean, log_scale, freedom = outputs.chunk(3, dim=-1)
        return torch.cat([unit.standardise(mean), unit.shrink(log_scale), freedom], dim=-1)
