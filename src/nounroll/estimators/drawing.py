"""Pictures of forecasts and of their reliability."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nounroll.estimators.backtest import Cut
from nounroll.estimators.clock import pd
from nounroll.estimators.panel import Series
from nounroll.estimators.windows import Plan
from nounroll.report.fan import Fan

_MOST = 6  # series in a picture, at most
_HORIZONS = 4  # horizons of history in a picture


def chosen(series: list[Series], names: Sequence[Any] | None) -> list[int]:
    """Choose the series to draw: the named ones, or the first ones.

    Raises:
        ValueError: there is no such series, or there are too many for a picture.
    """
    if names is None:
        return list(range(min(len(series), _MOST)))
    places = {one.name: i for i, one in enumerate(series)}
    for name in names:
        if name not in places:
            raise ValueError(f"series names {name!r}; there are {', '.join(map(repr, [*places][:_MOST]))}")
    if not 0 < len(names) <= _MOST:
        raise ValueError(f"series names {len(names)} series; a picture has room for 1 to {_MOST}")
    return [places[name] for name in names]


def fan_of(plan: Plan, one: Series, later: Series, paths: np.ndarray, levels: Sequence[float], truth: Any) -> Fan:
    """Build one panel of a fan chart; ``truth`` is a frame with unique_id, ds and y, or None."""
    shown = one.rows(max(0, len(one) - max(_HORIZONS * plan.horizon, 2 * plan.season)), len(one))
    quantiles = dict(zip(levels, np.quantile(paths, levels, axis=0), strict=True))
    followed = None if truth is None else _followed(truth, later)
    return Fan(str(one.name), list(shown.times), shown.y, list(later.times), quantiles, followed)


def _followed(truth: Any, later: Series) -> np.ndarray | None:
    for column in ("unique_id", "ds", "y"):
        if not isinstance(truth, pd.DataFrame) or column not in truth:
            raise ValueError(f"truth has no column {column!r}; it must be a data frame with unique_id, ds and y")
    mine = truth[truth["unique_id"] == later.name]
    values = pd.Series(mine["y"].to_numpy(dtype=float), index=pd.Index(mine["ds"]))
    if values.index.has_duplicates:
        raise ValueError(f"truth: column 'ds' of series {later.name!r} has a time twice; use truth.drop_duplicates")
    found = values.reindex(later.times).to_numpy()
    return None if np.isnan(found).all() else found


def shares_below(plan: Plan, origins: list[Cut], drawn: np.ndarray, levels: Sequence[float]) -> tuple[np.ndarray, int]:
    """Return the shares of true values below each quantile of (N, paths, horizon) forecasts, and their number."""
    truth = np.stack([one.y[cut : cut + plan.horizon] for one, cut in origins])
    known = ~np.isnan(truth)
    below = truth[None] <= np.quantile(drawn, levels, axis=1)
    return (below & known).sum((1, 2)) / max(1, int(known.sum())), int(known.sum())
