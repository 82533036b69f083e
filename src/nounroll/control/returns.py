"""The return of some episodes, with its uncertainty."""

from dataclasses import dataclass

import numpy as np

_DRAWS = 2000  # of the bootstrap
_LEVEL = 0.95


@dataclass(frozen=True)
class Returns:
    """Sums of the rewards of independent episodes.

    Attributes:
        values: one for each episode.
        low, high: the 95 % confidence interval of the mean, by a percentile bootstrap over the episodes.
    """

    values: tuple[float, ...]
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Returns":
        """Returns with their interval; the same values give the same one."""
        array, draws = np.array(values), np.random.default_rng(0)
        means = array[draws.integers(len(array), size=(_DRAWS, len(array)))].mean(1)
        low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
        return cls(tuple(values), float(low), float(high))

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}] over {len(self.values)} episodes"
