"""Mean return of episodes, with its uncertainty."""

from dataclasses import dataclass

import numpy as np

_DRAWS = 2000  # draws of the bootstrap
_LEVEL = 0.95


@dataclass(frozen=True)
class Returns:
    """Returns (sums of rewards) of independent episodes.

    Attributes:
        values: the return of each episode.
        low, high: the 95 % confidence interval of the mean, by a percentile bootstrap over the episodes.
    """

    values: tuple[float, ...]
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Returns":
        """Compute the interval; equal values give equal intervals."""
        array, draws = np.array(values), np.random.default_rng(0)
        means = array[draws.integers(len(array), size=(_DRAWS, len(array)))].mean(1)
        low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
        return cls(tuple(values), float(low), float(high))

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}] over {len(self.values)} episodes"
