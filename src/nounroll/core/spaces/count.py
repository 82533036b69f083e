"""Space of vectors of counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from nounroll.core.plain import count
from nounroll.core.precision import wide
from nounroll.core.spaces.base import Space
from nounroll.core.spaces.registry import register_space
from nounroll.core.spaces.sampling import Sampling
from nounroll.core.spaces.standard import Standard, moments_of

_MOST = 2.0**24  # largest count that single precision represents exactly
_LIMIT = 12.0  # limit of the logarithm of a mean divided by the data's mean
_SPREAD = 7.0  # limit of the logarithm of a dispersion
_HALVINGS = 60  # bisection steps to find a quantile
_FEWEST = 1e-3  # smallest initial mean count, if the data's mean is lower


@register_space("count")
@dataclass(frozen=True, repr=False)
class Count(Standard, Space):
    """Vectors of ``d`` counts 0, 1, 2, ..., held as float32 arrays of shape (B, T, d): arrivals, sales, cases.

    Each count is negative binomial: Poisson with a varying rate, of variance mean + dispersion mean^2. As the
    dispersion goes to 0 it becomes Poisson. Outputs are log mean and log dispersion of each coordinate.

    Args:
        d: number of coordinates.
        shift, scale: standardisation of each coordinate as an input; measured before training by default.
    """

    d: int
    shift: Sequence[float] | None = field(default=None, compare=False)
    scale: Sequence[float] | None = field(default=None, compare=False)

    discrete: ClassVar[bool] = True
    allowed: ClassVar[str] = "Count arrays hold whole numbers from 0 to 16,777,216"

    def __post_init__(self) -> None:
        object.__setattr__(self, "d", count("Count.d", self.d))
        self._settle()

    def __repr__(self) -> str:
        return f"Count(d={self.d})"

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.d,)

    @property
    def readout_size(self) -> int:
        """V: the logarithms of mean and dispersion for each coordinate."""
        return 2 * self.d

    def invalid(self, values: Shaped[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
        return ~((values >= 0) & (values <= _MOST) & (values == values.round()))

    def enter(self, values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        return self.standardise(values)

    def parameters(self, raw: Float[Tensor, "*n V"]) -> Float[Tensor, "*n V"]:
        log_mean, log_dispersion = raw.to(torch.promote_types(raw.dtype, torch.float32)).chunk(2, dim=-1)
        log_mean = _LIMIT * torch.tanh(log_mean / _LIMIT)
        if self.shift is not None:
            log_mean = log_mean + self.moments(log_mean)[0].clamp(min=_FEWEST).log()
        return torch.cat([log_mean, _SPREAD * torch.tanh(log_dispersion / _SPREAD)], dim=-1)

    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        log_mean, log_dispersion = wide(outputs).chunk(2, dim=-1)
        y, log_r = wide(values), -log_dispersion
        r, total = log_r.exp(), torch.logaddexp(log_r, log_mean)
        ways = torch.lgamma(y + r) - torch.lgamma(r) - torch.lgamma(y + 1)
        return (ways + r * (log_r - total) + y * (log_mean - total)).sum(-1).to(outputs.device, torch.float32)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (2 * self.d,)

    def noise(self, rows: int, generator: torch.Generator | None) -> Float[Tensor, "B k"]:
        """Draw normal random numbers; the temperature scales them, so that at 0 the medians are drawn."""
        return torch.randn(rows, 2 * self.d, generator=generator)

    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B k"], sampling: Sampling
    ) -> Float[Tensor, "B d"]:
        """Draw the rate from its gamma distribution, then the count from its Poisson distribution, by quantiles."""
        exact = wide(outputs)
        log_mean, log_dispersion = exact.chunk(2, dim=-1)
        levels = torch.special.ndtr(sampling.temperature * noise.to(log_mean))
        first, second = levels.chunk(2, dim=-1)
        rates = _gamma_quantile(first, log_mean, -log_dispersion)
        counts = _poisson_quantile(second, rates).clamp(max=_MOST)
        return torch.where(exact.isfinite().all(-1, keepdim=True), counts, torch.nan).to(outputs.device, self.dtype)

    def mean(self, outputs: Float[Tensor, "*n V"]) -> Float[Tensor, "*n d"]:
        return outputs.chunk(2, dim=-1)[0].exp()

    @property
    def unmeasured(self) -> bool:
        return self.scale is None

    def measured(self, name: str, values: Float[Tensor, "N d"], *, targets: bool) -> "Count":
        found = moments_of(name, values) if self.scale is None else None
        return self if found is None else replace(self, shift=found[0], scale=found[1])

    def to_json(self) -> dict[str, Any]:
        return {"d": self.d, **({} if self.shift is None else {"shift": self.shift, "scale": self.scale})}


def _gamma_quantile(
    levels: Float[Tensor, "B d"], log_mean: Float[Tensor, "B d"], log_r: Float[Tensor, "B d"]
) -> Float[Tensor, "B d"]:
    """Compute quantiles of gamma distributions of shape r, by bisection on the logarithm of x / mean."""
    r = log_r.exp()
    low, high = torch.full_like(r, -60.0), torch.full_like(r, 12.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        under = torch.special.gammainc(r, r * middle.exp()) < levels
        low, high = torch.where(under, middle, low), torch.where(under, high, middle)
    return (log_mean + high).exp()


def _poisson_quantile(levels: Float[Tensor, "B d"], rates: Float[Tensor, "B d"]) -> Float[Tensor, "B d"]:
    """Find the smallest k with P(count <= k) >= level, by bisection on the integers."""
    low, high = torch.full_like(rates, -1.0), (rates + 12 * rates.sqrt() + 60).ceil()
    for _ in range(_HALVINGS // 2):
        middle = ((low + high) / 2).floor().clamp(min=0)
        enough = torch.special.gammaincc(middle + 1, rates) >= levels
        high, low = torch.where(enough, middle, high), torch.where(enough, low, middle)
    return high
