"""Families of distributions of vectors (d,). ``unit`` is the shift and the scale of the data."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.core.spaces.standard import Standard

LOG_SCALE_LIMIT = 7.0  # a log standard deviation, relative to the scale: neither 0 nor inf


class Likelihood(ABC):
    """A family whose V parameters are in the unit of the data; every draw is a function of normal random numbers."""

    @abstractmethod
    def size(self, d: int) -> int:
        """V."""

    @abstractmethod
    def noise_size(self, d: int) -> int:
        """Normal random numbers of one draw."""

    @abstractmethod
    def parameters(self, raw: Float[Tensor, "*n V"], unit: Standard) -> Float[Tensor, "*n V"]:
        """Parameters from any real numbers of about unit size."""

    @abstractmethod
    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        """The logarithm of the density, in nats."""

    @abstractmethod
    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B k"], temperature: float, d: int
    ) -> Float[Tensor, "B d"]:
        """The draw that the noise stands for."""

    @abstractmethod
    def mean(self, outputs: Float[Tensor, "*n V"], d: int) -> Float[Tensor, "*n d"]:
        """The mean of each coordinate."""

    @abstractmethod
    def relative(self, outputs: Float[Tensor, "*n V"], unit: Standard) -> Float[Tensor, "*n V"]:
        """Parameters of the standardised vectors."""

    def log_mean_exp(self, outputs: Float[Tensor, "*n V"], d: int) -> Float[Tensor, "*n d"]:
        """log E[e^x] of each coordinate."""
        raise NotImplementedError


def limited(values: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Values as they are near 0, and never beyond 7."""
    return LOG_SCALE_LIMIT * torch.tanh(values / LOG_SCALE_LIMIT)
