"""Space of vectors of positive numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from nounroll.core.spaces.registry import register_space
from nounroll.core.spaces.sampling import Sampling
from nounroll.core.spaces.standard import moments_of
from nounroll.core.spaces.vectors import Vectors

_TINY = 1e-30  # value that replaces padding of 0


@register_space("positive")
@dataclass(frozen=True, repr=False)
class Positive(Vectors):
    """Vectors of ``d`` positive numbers of any unit, held as float32 arrays of shape (B, T, d): gaps, sizes, prices.

    log y is handled as ``Real`` handles y: read standardised, and predicted by one of its likelihoods. The density of y
    is the density of log y, divided by y. The default is thus a mixture of log-normals (Shchur et al. 2020, arXiv
    1909.12127), which approximates any waiting times and has a mean. For exponential gaps, a single log-normal is off
    by 0.09 nats and by 28 % of the mean.

    Args:
        d: number of coordinates.
        shift, scale: of the logarithm of each coordinate; measured before training by default.
        likelihood: likelihood of log y: "mixture", of five Gaussians, or "gaussian".
    """

    d: int
    shift: Sequence[float] | None = field(default=None, compare=False)
    scale: Sequence[float] | None = field(default=None, compare=False)
    likelihood: str = "mixture"

    likelihoods: ClassVar[tuple[str, ...]] = ("mixture", "gaussian")  # families whose exponentials have a mean
    allowed: ClassVar[str] = "Positive arrays must be finite and above 0"

    def zeros(self, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        return torch.ones(*shape, self.d, device=device)

    def invalid(self, values: Shaped[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
        return ~(torch.isfinite(values) & (values > 0))

    def enter(self, values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        return self.standardise(_log(values))

    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        logs = _log(values)
        return self._likelihood.log_prob(outputs.float(), logs) - logs.sum(-1)

    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B k"], sampling: Sampling
    ) -> Float[Tensor, "B d"]:
        """Draw positive numbers; at temperature 0 return the geometric mean."""
        return self._likelihood.choose(outputs, noise.to(outputs), sampling.temperature, self.d).exp().clamp(min=_TINY)

    def drawn(self, values: Float[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
        return ~self.invalid(values)

    def mean(self, outputs: Float[Tensor, "*n V"]) -> Float[Tensor, "*n d"]:
        return self._likelihood.log_mean_exp(outputs, self.d).exp()

    def example(self, *shape: int, generator: torch.Generator) -> Float[Tensor, "... d"]:
        return self.place(torch.randn(*shape, self.d, generator=generator)).exp()

    def measured(self, name: str, values: Float[Tensor, "N d"], *, targets: bool) -> "Positive":
        found = moments_of(f"the logarithms of {name}", _log(values)) if self.scale is None else None
        return self if found is None else replace(self, shift=found[0], scale=found[1])

    def errors(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> dict[str, Tensor]:
        logs = self._likelihood.mean(outputs, self.d) - _log(values)
        return {"hits": self.hits(outputs, values), "logs": logs.square().sum(-1)}

    def metrics(self, sums: Mapping[str, float], scored: float, loss: float) -> dict[str, float]:
        return {**super().metrics(sums, scored, loss), "rmse_log": math.sqrt(sums["logs"] / scored / self.d)}


def _log(values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    return values.clamp(min=_TINY).log()
