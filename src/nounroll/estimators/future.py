"""Steps of a forecast with their covariates."""

from typing import Any

import numpy as np

from nounroll.estimators.panel import Series, read
from nounroll.estimators.windows import Plan


def futures(plan: Plan, series: list[Series], X_future: Any) -> list[Series]:
    """Build the horizon of each series, with its covariates and without y.

    Args:
        plan: the rules for reading series.
        series: the histories.
        X_future: a data frame with ``unique_id``, ``ds`` and the future covariates; None without covariates.

    Raises:
        ValueError: ``X_future`` lacks a step of a series' horizon, or holds other rows.
    """
    times = [plan.clock.after(one.times[-1], plan.horizon) for one in series]
    if not plan.future:
        if X_future is not None:
            raise ValueError("X_future is given, and no column is named in future=; leave it out")
        nothing, unknown = np.zeros((plan.horizon, 0)), np.full(plan.horizon, np.nan)
        return [Series(one.name, when, unknown, nothing, nothing) for one, when in zip(series, times, strict=True)]
    columns = ", ".join(plan.future)
    if X_future is None:
        raise ValueError(f"X_future is not given; it must hold {columns} for each step of the horizon")
    given = {one.name: one for one in read(X_future, None, (), plan.future, y=False, name="X_future")}
    for one, when in zip(series, times, strict=True):
        has = given[one.name].times if one.name in given else when[:0]
        if len(has) != plan.horizon or (has != when).any():
            raise ValueError(
                f"X_future: column 'ds' has {len(has)} rows of series {one.name!r}; it must hold the {plan.horizon}"
                f" times {when[0]} to {when[-1]}"
            )
    for name in given.keys() - {one.name for one in series}:
        raise ValueError(f"X_future: column 'unique_id' names series {name!r}, which has no history; leave it out")
    return [given[one.name] for one in series]
