"""Times of a series: their step, the next times, and their places in a day, a week or a year."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

try:
    pd: Any = import_module("pandas")
except ImportError:
    raise ValueError("the Forecaster needs pandas: pip install 'nounroll[estimators]'") from None

_DAY = 86400.0
_SECONDS = {"minute": 60.0, "hour": 3600.0, "day": _DAY, "week": 7 * _DAY, "year": 365.2425 * _DAY}  # length of a cycle


def _day_share(times: Any) -> np.ndarray:
    return np.asarray((times.hour * 60 + times.minute) * 60 + times.second) / _DAY


_PHASES: dict[str, Callable[[Any], np.ndarray]] = {  # the elapsed share of a cycle
    "minute": lambda times: np.asarray(times.second) / 60,
    "hour": lambda times: np.asarray(times.minute * 60 + times.second) / 3600,
    "day": _day_share,
    "week": lambda times: (np.asarray(times.day_of_week) + _day_share(times)) / 7,
    "year": lambda times: (np.asarray(times.day_of_year) - 1 + _day_share(times)) / 365.2425,
}


@dataclass(frozen=True)
class Clock:
    """Clock: times at equal steps.

    Args:
        freq: an offset of pandas ("MS", "D", "h"); or a whole number, the step of times that are whole numbers.
    """

    freq: str | int

    @classmethod
    def of(cls, freq: Any, times: Any, name: Any) -> "Clock":
        """Return the clock that the user names, or else the clock of a series' times.

        Raises:
            ValueError: ``freq`` is invalid, does not fit these times, or cannot be inferred from them.
        """
        whole = not isinstance(times, pd.DatetimeIndex)
        freq = int(freq) if isinstance(freq, np.integer) else freq
        if freq is None:
            return cls(1) if whole else cls(_inferred(times, name))
        if whole != (isinstance(freq, int) and not isinstance(freq, bool)):
            kind, wanted = ("whole numbers", "a whole number") if whole else ("dates", "an offset such as 'MS' or 'D'")
            raise ValueError(f"freq is {freq!r} and column ds holds {kind}; freq must be {wanted}, or left out")
        if whole:
            if freq < 1:
                raise ValueError(f"freq is {freq}; it must be at least 1")
            return cls(freq)
        try:
            return cls(pd.tseries.frequencies.to_offset(freq).freqstr)
        except (ValueError, TypeError, AttributeError):
            raise ValueError(
                f"freq is {freq!r}; it must be an offset of pandas, such as 'MS', 'W', 'D' or 'h'"
            ) from None

    def times(self, first: Any, count: int) -> Any:
        """Return ``count`` times, beginning with ``first`` or with the next time of this clock."""
        if isinstance(self.freq, int):
            return pd.Index(first + self.freq * np.arange(count))
        return pd.date_range(first, periods=count, freq=self.freq)

    def after(self, last: Any, count: int) -> Any:
        """Return the ``count`` times after ``last``."""
        return self.times(last, count + 1)[1:]

    @property
    def season(self) -> int:
        """Return the steps of the shortest cycle with two or more steps; 1 without such a cycle."""
        step = self._step()
        return next((round(length / step) for length in _SECONDS.values() if length >= 1.9 * step), 1)

    def cycles(self, steps: int) -> tuple[str, ...]:
        """Return the names of the cycles that have two or more steps and fit at least twice into ``steps``."""
        step = self._step()
        return tuple(name for name, length in _SECONDS.items() if 1.9 * step <= length <= steps * step / 2)

    def _step(self) -> float:
        """Return the mean step in seconds; infinite for whole numbers, which have no calendar."""
        if isinstance(self.freq, int):
            return float("inf")
        some = pd.date_range("2001-01-01", periods=13, freq=self.freq)
        return (some[-1] - some[0]).total_seconds() / 12


def phases(times: Any, cycles: tuple[str, ...]) -> np.ndarray:
    """Return sine and cosine of the place of each time in each cycle, (T, 2 cycles)."""
    angles = [2 * np.pi * _PHASES[name](times) for name in cycles]
    waves = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.stack(waves, axis=1) if waves else np.zeros((len(times), 0))


def _inferred(times: Any, name: Any) -> str:
    found = None
    if len(times) >= 3:
        with warnings.catch_warnings():  # later versions of pandas return an offset, which also works
            warnings.simplefilter("ignore")
            found = pd.infer_freq(times)
    if found is None:
        raise ValueError(
            f"freq is not set, and column ds of series {name!r} has no regular step; give freq, such as 'MS' or 'D',"
            " and a row with y missing for each missing time"
        )
    return pd.tseries.frequencies.to_offset(found).freqstr
