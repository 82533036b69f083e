"""Windows of series: inputs and targets of a forecasting network."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nounroll.estimators.clock import Clock, phases
from nounroll.estimators.panel import Series
from nounroll.estimators.powers import raised

_NUMBERS = 2**20  # time steps of all training windows, at most
_DRIFT = 1.5
_FLOOR = 0.1  # share of the series' scale
Place = tuple[float, float]  # offset and scale of values


@dataclass(frozen=True)
class Plan:
    """Rules that convert series to sequences. The rules and a network define a forecast.

    An input holds the values known at time t, and the values of time t + 1 that are known ahead::

        x_t   value, whether it was observed, past covariates (t);  future covariates, calendar (t + 1)
        y_t   value, past covariates (t + 1)

    A value is the ``power`` of y, standardised by the mean and the standard deviation of the window's first half (or by
    the first observed y after it). A tenth of the series' scale keeps the divisor above 0. All windows then have the
    same scale, so a series may grow beyond its range in training. The steps of the first half are not scored. For
    series that drift the target is the change of the value.

    A missing y is interpolated linearly. Since this uses a later value, a step is scored only if its y and the previous
    y are present. A forecast continues from the last y. If the series are too sparse for this, a missing y repeats the
    previous one.

    Attributes:
        horizon, context: steps to forecast, and steps of history to read.
        season: steps of a season, for the scale of errors.
        freq: the step of the clock.
        cycles: cycles of the calendar that are inputs.
        past, future: names of covariates.
        changes: the network predicts the change of the value (``drifts``).
        power: power of y; 0 is the logarithm (``nounroll.estimators.powers``).
        between: missing values are interpolated, not repeated.
        local: False in forecasters of an earlier version, where values have the series' scale and are relative to a
            season.
    """

    horizon: int
    context: int
    season: int
    freq: str | int
    cycles: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]
    changes: bool
    power: float = 1.0
    between: bool = False
    local: bool = False

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Plan":
        """Read a plan from JSON, where tuples are lists."""
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in document.items()}
        return cls(**values)

    @property
    def clock(self) -> Clock:
        return Clock(self.freq)

    def burn(self, steps: int) -> int:
        """Return the number of first steps of a window that define its scale."""
        return max(1, min(self.context, steps) // 2 if self.local else min(self.season, self.context // 2))

    def read(self, series: list[Series]) -> list[Series]:
        """Return the series with the ``power`` of y, as the network reads them.

        Raises:
            ValueError: a value has no such power.
        """
        return [replace(one, y=raised(one, self.power)) for one in series]

    def ahead(self, one: Series) -> np.ndarray:
        """Return the values known ahead of each time, (T, f + 2 cycles)."""
        return np.concatenate([one.future, phases(one.times, self.cycles)], axis=1)

    def context_of(self, whole: Series) -> tuple[Series, int]:
        """Return the last ``context`` steps up to the last y, and the number of steps after it."""
        known = np.flatnonzero(~np.isnan(whole.y))
        gap = len(whole) - 1 - int(known[-1]) if self.between and len(known) else 0
        end = len(whole) - (gap if gap < self.context else 0)
        return whole.rows(max(0, end - self.context), end), len(whole) - end

    def history_of(self, whole: Series) -> Series:
        """Return the last rows that a forecast needs: the ``context_of`` the series, and the rows after it."""
        one, gap = self.context_of(whole)
        return whole.rows(len(whole) - gap - len(one), len(whole))

    def values(self, one: Series, scale: float) -> tuple[np.ndarray, Place, int]:
        """Return values (T,) without gaps, their offset and scale, and the first step that may be scored.

        Raises:
            ValueError: no y is observed.
        """
        known = np.flatnonzero(~np.isnan(one.y))
        if not len(known):
            raise ValueError(
                f"series {one.name!r} has no y in the {len(one)} rows up to {one.times[-1]} that are read;"
                " give some, or a longer context"
            )
        first = known[known < max(self.burn(len(one)), known[0] + 1)]
        anchor = float(one.y[first].mean())
        size = float(np.hypot(one.y[first].std(), _FLOOR * scale)) if self.local else scale
        filled = self._filled(one.y, known, anchor)
        return (filled - anchor) / size, (anchor, size), int(first[-1]) + 1

    def _filled(self, y: np.ndarray, known: np.ndarray, anchor: float) -> np.ndarray:
        if self.between:
            return np.interp(np.arange(len(y)), known, y[known])
        places = np.maximum.accumulate(np.where(np.isnan(y), -1, np.arange(len(y))))
        return np.where(places < 0, anchor, y[places])

    def inputs(self, one: Series, ahead: np.ndarray, scale: float) -> tuple[np.ndarray, Place]:
        """Return the inputs of a history (T, d), and offset and scale of values; ``ahead`` is for the steps t + 1."""
        values, place, _ = self.values(one, scale)
        return np.concatenate([np.stack([values, ~np.isnan(one.y)], axis=1), one.past, ahead], axis=1), place

    def window(self, one: Series, ahead: np.ndarray, scale: float, scored: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return inputs and targets of all steps but the last, with the last ``scored`` scored; None if none is scored.

        ``ahead`` has the same steps as ``one``.
        """
        if np.isnan(one.y).all():
            return None
        values, _, begin = self.values(one, scale)
        if begin >= len(one):
            return None
        seen = np.stack([values, ~np.isnan(one.y)], axis=1)[:-1]
        inputs = np.concatenate([seen, one.past[:-1], ahead[1:]], axis=1)
        following = np.diff(values) if self.changes else values[1:]
        targets = np.concatenate([following[:, None], one.past[1:]], axis=1)
        places = np.arange(1, len(one))
        known = ~np.isnan(one.y)
        scores = known[1:] & known[:-1] if self.between else known[1:]
        targets[(places < begin) | (places < len(one) - scored) | ~scores] = np.nan
        return None if np.isnan(targets[:, 0]).all() else (inputs, targets)

    def scale(self, one: Series) -> float:
        """Return the standard deviation of y within a window; the mean absolute value if a series is flat."""
        length = self.context + self.horizon
        chunks = [one.y[start : start + length] for start in range(0, len(one), length)]
        spreads = [np.nanvar(chunk) for chunk in chunks if _several(chunk)]
        spread = float(np.sqrt(np.mean(spreads))) if spreads else 0.0
        size = float(np.nanmean(np.abs(one.y)))
        return spread if spread > 1e-9 * size else size or 1.0


def drifts(series: list[Series], season: int) -> bool:
    """Return whether in most series y has over 1.5 times the standard deviation in the whole as within a quarter."""
    found = []
    for one in series:
        length = max(season, 2, len(one) // 4)
        parts = [part for start in range(0, len(one), length) if _several(part := one.y[start : start + length])]
        if parts:
            within = np.sqrt(np.mean([np.nanvar(part) for part in parts]))
            found.append(np.nanstd(one.y) > _DRIFT * within)
    return bool(found) and float(np.mean(found)) > 0.5


def in_runs(series: list[Series]) -> bool:
    """Return whether at least half of the values follow another value."""
    known = [~np.isnan(one.y) for one in series]
    return sum(int((one[1:] & one[:-1]).sum()) for one in known) >= sum(int(one.sum()) for one in known) / 2


def _several(values: np.ndarray) -> bool:
    return int(np.isfinite(values).sum()) > 1


def training_windows(
    plan: Plan, series: list[Series], scales: list[float], share: float
) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """Return inputs, targets and part of each window; the last ``share`` of a series, at least a horizon, is held out.

    A held-out window reads earlier steps as history and does not score them. A series shorter than two horizons plus
    two steps is used for training only.

    Raises:
        ValueError: no series is long enough for a held-out window.
    """
    length, windows, parts = plan.context + plan.horizon, [], []
    stride = -(-sum(map(len, series)) * length // _NUMBERS)
    for one, scale in zip(series, scales, strict=True):
        held = max(1, int(share * len(one)) // plan.horizon) if len(one) >= 2 * plan.horizon + 2 else 0
        end = len(one) - held * plan.horizon
        starts = range(max(0, end - length), -1, -min(stride, length))
        cut = [("train", max(0, start), min(start + length, end), length) for start in starts]
        stops = range(len(one), end, -plan.horizon)
        cut += [("validation", max(0, stop - length), stop, plan.horizon) for stop in stops]
        ahead = plan.ahead(one)
        for part, start, stop, scored in cut:
            found = plan.window(one.rows(start, stop), ahead[start:stop], scale, scored)
            if found is not None:
                windows.append(found)
                parts.append(part)
    if "validation" not in parts or "train" not in parts:
        longest = max(series, key=len)
        raise ValueError(
            f"the longest series, {longest.name!r}, has {len(longest)} rows; with horizon {plan.horizon} one needs at"
            f" least {2 * plan.horizon + 2} with enough y observed, to train on and to choose the network by"
        )
    inputs, targets = zip(*windows, strict=True)
    return list(inputs), list(targets), parts
