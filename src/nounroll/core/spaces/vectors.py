"""Shared base of spaces of vectors whose distribution is one of ``nounroll.core.spaces.likelihoods``."""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.core.plain import count
from nounroll.core.spaces.base import Space
from nounroll.core.spaces.likelihoods import LIKELIHOODS, Likelihood
from nounroll.core.spaces.standard import Standard


class Vectors(Standard, Space):
    """Vectors of d numbers, read and predicted by their shift, scale and likelihood.

    Attributes:
        likelihoods: the supported likelihoods, the default one first.
    """

    likelihood: str
    likelihoods: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        kind = type(self).__name__
        object.__setattr__(self, "d", count(f"{kind}.d", self.d))
        if self.likelihood not in self.likelihoods:
            allowed = ", ".join(self.likelihoods)
            raise ValueError(f"{kind}.likelihood is {self.likelihood!r}; it must be one of {allowed}")
        self._settle()

    def __repr__(self) -> str:
        other = "" if self.likelihood == self.likelihoods[0] else f", likelihood={self.likelihood!r}"
        return f"{type(self).__name__}(d={self.d}{other})"

    @property
    def _likelihood(self) -> Likelihood:
        return LIKELIHOODS[self.likelihood]

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.d,)

    @property
    def readout_size(self) -> int:
        """V: a mean and a log standard deviation per coordinate, or the parameters of another likelihood."""
        return self._likelihood.size(self.d)

    def parameters(self, raw: Float[Tensor, "*n V"]) -> Float[Tensor, "*n V"]:
        return self._likelihood.parameters(raw.to(torch.promote_types(raw.dtype, torch.float32)), self)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (self._likelihood.noise_size(self.d),)

    def noise(self, rows: int, generator: torch.Generator | None) -> Float[Tensor, "B k"]:
        """Draw normal random numbers."""
        return torch.randn(rows, *self.noise_shape, generator=generator)

    def relative(self, outputs: Float[Tensor, "*n V"]) -> Float[Tensor, "*n V"]:
        return self._likelihood.relative(outputs, self)

    @property
    def unmeasured(self) -> bool:
        return self.scale is None

    def to_json(self) -> dict[str, Any]:
        measured = {} if self.shift is None else {"shift": self.shift, "scale": self.scale}
        return {"d": self.d, **measured, "likelihood": self.likelihood}
