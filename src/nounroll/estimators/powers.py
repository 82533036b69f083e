"""Powers of y (1, the square root, or 0 for the logarithm) that make the size of changes independent of the level."""

from collections.abc import Sequence

import numpy as np

from nounroll.estimators.panel import Series

_CLEARLY = 0.8  # share of the spread at power 1; a smaller spread chooses another power
_LEAST = 4  # blocks of a series that are needed to judge a power


def chosen_power(series: Sequence[Series], season: int) -> float:
    """Choose the power for a set of series (Guerrero 1993, Journal of Forecasting 12).

    For a suitable power p, the ratio standard deviation / mean^(1 - p) is the same in all blocks of time. The power
    with the smallest coefficient of variation of this ratio is chosen, if it is clearly smaller than for p = 1. The
    square root needs y >= 0 and the logarithm y > 0.
    """
    least = min(float(np.nanmin(one.y)) for one in series)
    powers = [1.0, *([0.5] if least >= 0 else []), *([0.0] if least > 0 else [])]
    spreads = [[_spread(one.y, max(season, 2), power) for one in series] for power in powers]
    judged = np.array(spreads)[:, ~np.isnan(spreads[0])]
    if not judged.size:
        return 1.0
    means = judged.mean(1)
    best = int(means.argmin())
    return powers[best] if means[best] < _CLEARLY * means[0] else 1.0


def _spread(y: np.ndarray, length: int, power: float) -> float:
    """Return the coefficient of variation over blocks; nan if there are too few blocks."""
    blocks = [y[start : start + length] for start in range(0, len(y) - length + 1, length)]
    known = [block[~np.isnan(block)] for block in blocks]
    pairs = [(block.std(), block.mean()) for block in known if len(block) > 1 and block.mean() > 0]
    if len(pairs) < _LEAST or len(pairs) < len(known) / 2:
        return float("nan")
    ratios = np.array([deviation / mean ** (1 - power) for deviation, mean in pairs])
    return float(ratios.std() / ratios.mean()) if ratios.mean() > 0 else float("nan")


def raised(one: Series, power: float) -> np.ndarray:
    """Return a power of y.

    Raises:
        ValueError: a value has no such power; training had no such values.
    """
    if power == 1:
        return one.y
    bad = np.flatnonzero(one.y < 0 if power else one.y <= 0)
    if len(bad):
        i = int(bad[0])
        rule = "never negative" if power else "always positive"
        raise ValueError(
            f"df: column 'y' of series {one.name!r} is {one.y[i]:g} at {one.times[i]}; in training it was {rule}, so"
            f" the forecaster reads its {'square root' if power else 'logarithm'}: fit it again with such values"
        )
    return np.sqrt(one.y) if power else np.log(one.y)


def lowered(values: np.ndarray, power: float) -> np.ndarray:
    """Invert ``raised``; square roots below 0 become 0."""
    if power == 1:
        return values
    return np.clip(values, 0, None) ** 2 if power else np.exp(values)
