"""Interface of families of distributions of vectors (d,). ``unit`` is the shift and the scale of the data."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.core.spaces.standard import Standard

LOG_SCALE_LIMIT = 7.0  # limit of a log standard deviation relative to the scale: neither 0 nor inf


class Likelihood(ABC):
    """Family with V parameters in the unit of the data; every draw is a function of normal random numbers."""

    @abstractmethod
    def size(self, d: int) -> int:
        """Return V, the number of parameters."""

    @abstractmethod
    def noise_size(self, d: int) -> int:
        """Return the number of normal random numbers of one draw."""

    @abstractmethod
    def parameters(self, raw: Float[Tensor, "*n V"], unit: Standard) -> Float[Tensor, "*n V"]:
        """Convert any real numbers of about unit size to parameters."""

    @abstractmethod
    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        """Return the logarithm of the density, in nats."""

    def loss(
        self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"], unit: Standard
    ) -> Float[Tensor, "*n"]:
        """Return -log p, whose gradient may be weighted for means that are judged by their error."""
        return -self.log_prob(outputs, values)

    @abstractmethod
    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B k"], temperature: float, d: int
    ) -> Float[Tensor, "B d"]:
        """Map the noise to a draw."""

    @abstractmethod
    def mean(self, outputs: Float[Tensor, "*n V"], d: int) -> Float[Tensor, "*n d"]:
        """Return the mean of each coordinate."""

    @abstractmethod
    def relative(self, outputs: Float[Tensor, "*n V"], unit: Standard) -> Float[Tensor, "*n V"]:
        """Return the parameters of the standardised vectors."""

    def log_mean_exp(self, outputs: Float[Tensor, "*n V"], d: int) -> Float[Tensor, "*n d"]:
        """Return log E[e^x] of each coordinate."""
        raise NotImplementedError


def limited(values: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Limit values smoothly to -7 .. 7; values near 0 stay unchanged."""
    return LOG_SCALE_LIMIT * torch.tanh(values / LOG_SCALE_LIMIT)
