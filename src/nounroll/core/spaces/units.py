"""Comparison of the units of two data sets."""

from collections.abc import Iterator

from nounroll.core.spaces.base import Space
from nounroll.core.spaces.product import Product
from nounroll.core.spaces.standard import Standard

_FAR = 10.0  # old spreads that the mean may move, or factor of the spread, before the unit counts as different


def other_unit(now: Space, then: Space) -> str:
    """Describe the first number whose unit has changed; empty if none has.

    Args:
        now, then: spaces of the same kind with the shift and scale of their data.
    """
    for i, (mine, its) in enumerate(zip(_moments(now), _moments(then), strict=True)):
        (shift, scale), (old_shift, old_scale) = mine, its
        if abs(shift - old_shift) > _FAR * max(scale, old_scale) or not 1 / _FAR <= scale / old_scale <= _FAR:
            return (
                f"number {i} has mean {shift:.3g} and spread {scale:.3g}, and had mean {old_shift:.3g} and spread"
                f" {old_scale:.3g}"
            )
    return ""


def _moments(space: Space) -> Iterator[tuple[float, float]]:
    """Yield shift and scale of each number of a space that has them."""
    if isinstance(space, Product):
        for part in space.spaces:
            yield from _moments(part)
    elif isinstance(space, Standard):
        yield from zip(space.shift or [0.0] * space.d, space.scale or [1.0] * space.d, strict=True)
