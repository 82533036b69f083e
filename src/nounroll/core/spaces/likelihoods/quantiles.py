"""Quantiles: distributions of any form, given by nine quantiles of each coordinate that never cross.

Between the quantiles the map z(y) to a normal number is a monotone rational-quadratic spline (Durkan et al. 2019, arXiv
1906.04032); outside them it is linear. The knots are the quantiles, where z is the normal quantile of the same level.
p(y) = N(z(y)) z'(y) is then a continuous density, so the loss is in nats as for the other families.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nounroll.core.spaces.likelihoods.base import Likelihood, limited
from nounroll.core.spaces.standard import Standard

LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
_NORMAL = [NormalDist().inv_cdf(level) for level in LEVELS]
_HEIGHTS = [after - before for before, after in pairwise(_NORMAL)]
_COUNT, _MIDDLE = len(LEVELS), len(LEVELS) // 2
_NODES = 32  # nodes of the integral for the mean


class Quantiles(Likelihood):
    """Parameters: d medians, 8 d logarithms of the distances between quantiles, 9 d logarithms of the slopes of z."""

    def size(self, d: int) -> int:
        return 2 * _COUNT * d

    def noise_size(self, d: int) -> int:
        return d

    def parameters(self, raw: Float[Tensor, "*n V"], unit: Standard) -> Float[Tensor, "*n V"]:
        """Return the parameters: a standard normal's if ``raw`` is 0. Slopes are relative to the adjacent lines."""
        median, gaps, slopes = _cut(raw)
        heights = _heights(raw).log()
        gaps = heights + limited(gaps)
        lines = heights - gaps
        sides = torch.cat([lines[..., :1], lines], dim=-1) + torch.cat([lines, lines[..., -1:]], dim=-1)
        slopes = 0.5 * sides + limited(slopes)
        return _joined(unit.place(median), _over(unit.stretch, gaps), _over(unit.shrink, slopes))

    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        median, gaps, slopes = _cut(outputs)
        knots, offset = _knots(gaps), values - median
        place = (offset[..., None] >= knots).sum(-1)
        bin = (place - 1).clamp(0, _COUNT - 2)
        left, right, line, start = _bin(bin, gaps, slopes)
        x = ((offset - _at(knots, bin)) * torch.exp(-_at(gaps, bin))).clamp(0, 1)
        under = 1 + (left + right - 2) * x * (1 - x)
        z = start + _at(_heights(outputs).expand_as(gaps), bin) * (x**2 + left * x * (1 - x)) / under
        log_slope = line + (right * x**2 + 2 * x * (1 - x) + left * (1 - x) ** 2).log() - 2 * under.log()
        low, high = place == 0, place == _COUNT
        end = torch.where(low, 0, _COUNT - 1)
        outside = _normal(outputs)[end] + _at(slopes, end).exp() * (offset - _at(knots, end))
        z = torch.where(low | high, outside, z)
        log_slope = torch.where(low | high, _at(slopes, end), log_slope)
        return (log_slope - 0.5 * z**2 - 0.5 * math.log(2 * math.pi)).sum(-1)

    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B d"], temperature: float, d: int
    ) -> Float[Tensor, "B d"]:
        """Draw by the inverse of z; at temperature 0 return the median."""
        return _inverse(outputs, temperature * noise)

    def mean(self, outputs: Float[Tensor, "*n V"], d: int) -> Float[Tensor, "*n d"]:
        """Integrate y(z) over a normal z, by Gauss-Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        shape = (*outputs.shape[:-1], d)
        parts = [w * _inverse(outputs, outputs.new_full(shape, z)) for z, w in zip(nodes, weights, strict=True)]
        return torch.stack(parts).sum(0) / float(weights.sum())

    def relative(self, outputs: Float[Tensor, "*n V"], unit: Standard) -> Float[Tensor, "*n V"]:
        median, gaps, slopes = _cut(outputs)
        return _joined(unit.standardise(median), _over(unit.shrink, gaps), _over(unit.stretch, slopes))

    def quantiles(self, outputs: Float[Tensor, "*n V"]) -> Float[Tensor, "*n d 9"]:
        """Return the quantiles at ``LEVELS``, in order."""
        median, gaps, _ = _cut(outputs)
        return median[..., None] + _knots(gaps)


def _cut(
    outputs: Float[Tensor, "*n V"],
) -> tuple[Float[Tensor, "*n d"], Float[Tensor, "*n d 8"], Float[Tensor, "*n d 9"]]:
    each = outputs.unflatten(-1, (-1, 2 * _COUNT))
    return each[..., 0], each[..., 1:_COUNT], each[..., _COUNT:]


def _joined(
    median: Float[Tensor, "*n d"], gaps: Float[Tensor, "*n d 8"], slopes: Float[Tensor, "*n d 9"]
) -> Float[Tensor, "*n V"]:
    return torch.cat([median[..., None], gaps, slopes], dim=-1).flatten(-2)


def _over(change: Callable[[Tensor], Tensor], values: Float[Tensor, "*n d k"]) -> Float[Tensor, "*n d k"]:
    """Apply a change of unit, which acts on the last axis, to the second last axis."""
    return change(values.transpose(-1, -2)).transpose(-1, -2)


def _normal(like: Tensor) -> Float[Tensor, "9"]:
    """Return the normal quantiles of the levels."""
    return torch.tensor(_NORMAL, dtype=like.dtype, device=like.device)


def _heights(like: Tensor) -> Float[Tensor, "8"]:
    return torch.tensor(_HEIGHTS, dtype=like.dtype, device=like.device)


def _knots(gaps: Float[Tensor, "*n d 8"]) -> Float[Tensor, "*n d 9"]:
    """Compute the distances of the quantiles from the median."""
    above = gaps[..., _MIDDLE:].exp().cumsum(-1)
    below = -gaps[..., :_MIDDLE].flip(-1).exp().cumsum(-1).flip(-1)
    return torch.cat([below, torch.zeros_like(above[..., :1]), above], dim=-1)


def _at(values: Float[Tensor, "*n d k"], places: Int[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    return values.gather(-1, places[..., None])[..., 0]


def _bin(
    bin: Int[Tensor, "*n d"], gaps: Float[Tensor, "*n d 8"], slopes: Float[Tensor, "*n d 9"]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the spline of a bin: both end slopes over the line's, the log of the line's slope, and z at its start."""
    lines = _heights(gaps).log() - gaps
    line = _at(lines, bin)
    left, right = (_at(slopes, bin + i) - line for i in (0, 1))
    return left.exp(), right.exp(), line, _normal(gaps)[bin]


def _inverse(outputs: Float[Tensor, "*n V"], z: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Compute y(z), the inverse of z(y)."""
    median, gaps, slopes = _cut(outputs)
    normal, knots = _normal(outputs), _knots(gaps)
    place = (z[..., None] >= normal).sum(-1)
    bin = (place - 1).clamp(0, _COUNT - 2)
    left, right, _, start = _bin(bin, gaps, slopes)
    share = ((z - start) / (normal[bin + 1] - start)).clamp(0, 1)
    bend = share * (left + right - 2)
    a, b, c = 1 - left + bend, left - bend, -share
    x = 2 * c / (-b - (b**2 - 4 * a * c).clamp(min=0).sqrt())
    inside = _at(knots, bin) + _at(gaps, bin).exp() * x
    low, high = place == 0, place == _COUNT
    end = torch.where(low, 0, _COUNT - 1)
    outside = _at(knots, end) + (z - normal[end]) * torch.exp(-_at(slopes, end))
    return median + torch.where(low | high, outside, inside)
