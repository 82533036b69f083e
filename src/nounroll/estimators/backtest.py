"""Rolling origins: histories cut off at several times, and the true values after each cut."""

from typing import Any

import numpy as np

from nounroll.estimators.clock import pd
from nounroll.estimators.panel import Series
from nounroll.estimators.scores import scores
from nounroll.estimators.windows import Plan

Cut = tuple[Series, int]  # a series, and the length of its history


def cuts(plan: Plan, series: list[Series], windows: int, step: int) -> list[Cut]:
    """Choose ``windows`` origins of each series, ``step`` apart. The last horizon ends with the series.

    Raises:
        ValueError: a number is not whole and positive, or a series is too short.
    """
    for name, value in (("windows", windows), ("step", step)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} is {value!r}; it must be a whole number, at least 1")
    needed = plan.horizon + (windows - 1) * step + plan.season + 1
    for one in series:
        if len(one) < needed:
            raise ValueError(
                f"df: column 'y', series {one.name!r} has {len(one)} rows; {windows} windows need {needed}: test fewer,"
                " or leave it out"
            )
    return [(one, len(one) - plan.horizon - k * step) for one in series for k in reversed(range(windows))]


def table(plan: Plan, origins: list[Cut], drawn: np.ndarray, ends: dict[Any, str]) -> Any:
    """Build a table with a row of scores for each origin.

    Args:
        plan: the rules for reading series.
        origins: the result of ``cuts``.
        drawn: sample paths from each origin, (N, paths, horizon).
        ends: the last training time of each series.
    """
    rows = []
    for (one, cut), paths in zip(origins, drawn, strict=True):
        truth = one.rows(cut, cut + plan.horizon)
        trained = one.name in ends and bool(_time(ends[one.name], truth.times) >= truth.times[0])
        found = scores(paths, truth.y, one.y[:cut], plan.season)
        rows.append({"unique_id": one.name, "cutoff": one.times[cut - 1], **found, "trained": trained})
    return pd.DataFrame(rows)


def _time(text: str, like: Any) -> Any:
    """Parse a time from text; its type follows the times ``like``."""
    if not isinstance(like, pd.DatetimeIndex):
        return int(text)
    found = pd.Timestamp(text)
    if (found.tzinfo is None) != (like.tz is None):
        raise ValueError(f"df: column 'ds' is of time zone {like.tz}, and fit had {found.tzinfo}; use one zone")
    return found
