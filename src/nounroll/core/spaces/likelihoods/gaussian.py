"""Gaussians with a diagonal covariance."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.core.spaces.likelihoods.base import Likelihood, limited
from nounroll.core.spaces.standard import Standard


class Gaussian(Likelihood):
    """Parameters: d means and d log standard deviations. With (u, v) for the linear map's outputs,

    mean = shift + scale u,   log standard deviation = log(scale) + 7 tanh(v / 7)
    """

    def size(self, d: int) -> int:
        return 2 * d

    def noise_size(self, d: int) -> int:
        return d

    def parameters(self, raw: Float[Tensor, "*n V"], unit: Standard) -> Float[Tensor, "*n V"]:
        mean, log_scale = raw.chunk(2, dim=-1)
        return torch.cat([unit.place(mean), unit.stretch(limited(log_scale))], dim=-1)

    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        return -_nats(outputs, values).sum(-1)

    def loss(
        self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"], unit: Standard
    ) -> Float[Tensor, "*n"]:
        """Weight the gradient of each coordinate by its variance, so that a mean learns by its squared error.

        Without weights a mean learns least where its error is largest (Seitzer et al. 2022, arXiv 2203.09168; their
        beta is 1 here). The best outputs are the same.
        """
        nats = _nats(outputs, values)
        weight = torch.exp(2 * unit.shrink(outputs.chunk(2, dim=-1)[1].detach()))
        return (weight * nats + ((1 - weight) * nats).detach()).sum(-1)

    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B d"], temperature: float, d: int
    ) -> Float[Tensor, "B d"]:
        mean, log_scale = outputs.chunk(2, dim=-1)
        return mean + temperature * log_scale.exp() * noise

    def mean(self, outputs: Float[Tensor, "*n V"], d: int) -> Float[Tensor, "*n d"]:
        return outputs.chunk(2, dim=-1)[0]

    def relative(self, outputs: Float[Tensor, "*n V"], unit: Standard) -> Float[Tensor, "*n V"]:
        mean, log_scale = outputs.chunk(2, dim=-1)
        return torch.cat([unit.standardise(mean), log_scale], dim=-1)

    def log_mean_exp(self, outputs: Float[Tensor, "*n V"], d: int) -> Float[Tensor, "*n d"]:
        mean, log_scale = outputs.chunk(2, dim=-1)
        return mean + 0.5 * (2 * log_scale).exp()


def _nats(outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Return the negative logarithm of the density of each coordinate."""
    mean, log_scale = outputs.chunk(2, dim=-1)
    z = (values - mean) * torch.exp(-log_scale)
    return 0.5 * z**2 + log_scale + 0.5 * math.log(2 * math.pi)
