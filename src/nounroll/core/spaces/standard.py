"""Shift and scale of vectors: networks compute with (x - shift) / scale; inputs and outputs use the data's unit."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

_CLOSE = 0.1  # data whose mean and standard deviation are this close to 0 and 1 is not standardised
_FARTHEST = 10.0  # limit of standardised values, so that a rare distant event sets the scale, and not the many zeros
_FLAT = 1e-6  # a spread below this share of the largest value is rounding
_SMALLEST, _LARGEST = 1e-18, 1e18  # range whose squares single precision holds
Moments = tuple[tuple[float, ...], tuple[float, ...]]


class Standard:
    """Shift and scale of each of ``d`` coordinates; None means 0 and 1."""

    d: int
    shift: Sequence[float] | None
    scale: Sequence[float] | None

    def _settle(self) -> None:
        """Validate both, and convert them to tuples."""
        kind = type(self).__name__
        if (self.shift is None) != (self.scale is None):
            raise ValueError(f"{kind}.shift and {kind}.scale go together; give both or neither")
        for name, least in (("shift", -math.inf), ("scale", 0.0)):
            given = getattr(self, name)
            if given is None:
                continue
            values = tuple(map(float, given))
            if len(values) != self.d or not all(least < value < math.inf for value in values):
                positive = " above 0" if name == "scale" else ""
                raise ValueError(f"{kind}.{name} is {given!r}; it must be {self.d} finite numbers{positive}")
            object.__setattr__(self, name, values)

    def standardise(self, values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """Compute (x - shift) / scale, in the dtype of the values."""
        if self.shift is None or self.scale is None:
            return values
        shift, scale = self.moments(values)
        return (values - shift) / scale

    def moments(self, like: Tensor) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
        """Return shift and scale as tensors with the dtype and the device of another tensor."""
        shift, scale = (torch.tensor(v, dtype=like.dtype, device=like.device) for v in (self.shift, self.scale))
        return shift, scale

    def place(self, values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """Compute shift + scale x: standardised values in the unit of the data."""
        if self.scale is None:
            return values
        shift, scale = self.moments(values)
        return shift + scale * values

    def stretch(self, log_scales: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """Compute log(scale) + v: logarithms of standardised lengths in the unit of the data."""
        return log_scales if self.scale is None else self.moments(log_scales)[1].log() + log_scales

    def shrink(self, log_scales: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """Compute the inverse of ``stretch``."""
        return log_scales if self.scale is None else log_scales - self.moments(log_scales)[1].log()

    def volume(self) -> float:
        """Return log |d x / d standardised x|."""
        return 0.0 if self.scale is None else sum(map(math.log, self.scale))


def moments_of(name: str, values: Float[Tensor, "N d"]) -> Moments | None:
    """Measure the shift and scale that standardise values; None if the values are standardised already.

    Raises:
        ValueError: numbers are too large or too small for single precision.
    """
    if not len(values):
        return None
    values = values.double().cpu()
    largest, mean = values.abs().amax(0), values.mean(0)
    spread, farthest = values.std(0, correction=0), (values - mean).abs().amax(0)
    flat = farthest <= _FLAT * largest
    shift = torch.where(flat, 0.0, mean)
    scale = torch.where(flat, largest.where(largest > 0, 1.0), torch.maximum(spread, farthest / _FARTHEST))
    for j in range(values.shape[-1]):
        if not (float(scale[j]) >= _SMALLEST and float(largest[j]) <= _LARGEST):
            raise ValueError(
                f"{name}[..., {j}] have the magnitude {float(largest[j]):.1g} and vary by {float(spread[j]):.1g};"
                f" single precision needs {_SMALLEST:g} to {_LARGEST:g}, give them in another unit"
            )
    if bool((shift.abs() <= _CLOSE).all()) and bool((scale.log().abs() <= math.log1p(_CLOSE)).all()):
        return None
    return tuple(shift.tolist()), tuple(scale.tolist())
