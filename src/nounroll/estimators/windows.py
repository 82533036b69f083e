"""Windows of series: the inputs and the targets of a forecasting network."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nounroll.estimators.clock import Clock, phases
from nounroll.estimators.panel import Series
from nounroll.estimators.powers import raised

_NUMBERS = 2**20  # time steps of all training windows, at most
_DRIFT = 1.5
_FLOOR = 0.1  # of the series' scale
Place = tuple[float, float]  # what 0 is, and what 1 is more


@dataclass(frozen=True)
class Plan:
    """Rules by which series become sequences; with a network, all that a forecast needs.

    A step of the input is what is known at time t, and of the next time what is known ahead::

        x_t   value, whether it was observed, past covariates (t);  future covariates, calendar (t + 1)
        y_t   value, past covariates (t + 1)

    A value is the distance of the ``power`` of y from its mean in the first half of the window (or from the first that
    is observed after it), in units of its standard deviation there, which a tenth of the series' scale keeps from 0: a
    network that is given all windows in one size follows a series beyond what it has seen. These steps are not scored.
    Of series that drift the target is the change of the value.

    Where y is missing the input is a straight line between its neighbours, one of which lies ahead: so a step is scored
    only where its y and the one before are there. A forecast goes on from the last y. Of series so sparse that hardly
    any step is left, a missing y repeats the one before.

    Attributes:
        horizon, context: steps to forecast, and steps of history to read.
        season: steps of the seasonal guess that errors are scaled by.
        freq: of the clock.
        cycles: of the calendar.
        past, future: names of covariates.
        changes: the network predicts the change of the value (``drifts``).
        power: of y that the network reads; 0 is the logarithm (``nounroll.estimators.powers``).
        between: missing values are straight lines, and no repetitions.
        local: False in forecasters of an earlier version: values are in units of the series' scale alone, and relative
            to a season.
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
        """The plan that was written as JSON, in which tuples are lists."""
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in document.items()}
        return cls(**values)

    @property
    def clock(self) -> Clock:
        return Clock(self.freq)

    def burn(self, steps: int) -> int:
        """Count the first steps of a window, from which its units are taken."""
        return max(1, min(self.context, steps) // 2 if self.local else min(self.season, self.context // 2))

    def read(self, series: list[Series]) -> list[Series]:
        """Series as the network reads them: ``power`` of y.

        Raises:
            ValueError: a y has no such power.
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

    def values(self, one: Series, scale: float) -> tuple[np.ndarray, Place, int]:
        """Return (T,) values with gaps filled, the place that they are relative to, and the step after the first ones.

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
        """Return (T, d) inputs of T steps of history, and the place of values; ``ahead`` is of the T steps after."""
        values, place, _ = self.values(one, scale)
        return np.concatenate([np.stack([values, ~np.isnan(one.y)], axis=1), one.past, ahead], axis=1), place

    def window(self, one: Series, ahead: np.ndarray, scale: float, scored: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Inputs and targets of all steps but the last, the ``scored`` last of which count; None where none does.

        ``ahead`` is of the same steps.
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
        """The standard deviation of y within a window; of a flat series its size."""
        length = self.context + self.horizon
        chunks = [one.y[start : start + length] for start in range(0, len(one), length)]
        spreads = [np.nanvar(chunk) for chunk in chunks if _several(chunk)]
        spread = float(np.sqrt(np.mean(spreads))) if spreads else 0.0
        size = float(np.nanmean(np.abs(one.y)))
        return spread if spread > 1e-9 * size else size or 1.0


def drifts(series: list[Series], season: int) -> bool:
    """Return whether most series move on: y varies half as much again over the whole as it does within a quarter."""
    found = []
    for one in series:
        length = max(season, 2, len(one) // 4)
        parts = [part for start in range(0, len(one), length) if _several(part := one.y[start : start + length])]
        if parts:
            within = np.sqrt(np.mean([np.nanvar(part) for part in parts]))
            found.append(np.nanstd(one.y) > _DRIFT * within)
    return bool(found) and float(np.mean(found)) > 0.5


def in_runs(series: list[Series]) -> bool:
    """Return whether of most values the one before is there too."""
    known = [~np.isnan(one.y) for one in series]
    return sum(int((one[1:] & one[:-1]).sum()) for one in known) >= sum(int(one.sum()) for one in known) / 2


def _several(values: np.ndarray) -> bool:
    return int(np.isfinite(values).sum()) > 1


def training_windows(
    plan: Plan, series: list[Series], scales: list[float], share: float
) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """Inputs, targets and part of each window: the last ``share`` of a series, and at least a horizon, is held out.

    A held-out window reads the steps before it as history; they are not scored in it. A series of fewer than two
    horizons and two steps is trained on whole.

    Raises:
        ValueError: no series is long enough to hold any of it out.
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
