"""Series of a long data frame, with checks: nothing is sorted, dropped or filled in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from nounroll.estimators.clock import Clock, pd

_KEYS = ("unique_id", "ds")


@dataclass(frozen=True)
class Series:
    """Series of T steps.

    Attributes:
        name: the unique_id.
        times: T dates or whole numbers, a pandas index.
        y: (T,) float64, nan where missing.
        past, future: (T, p) and (T, f) covariates.
    """

    name: Any
    times: Any
    y: np.ndarray
    past: np.ndarray
    future: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, start: int, stop: int) -> "Series":
        part = slice(start, stop)
        return Series(self.name, self.times[part], self.y[part], self.past[part], self.future[part])


def read(
    df: Any,
    clock: Clock | None,
    past: Sequence[str] = (),
    future: Sequence[str] = (),
    *,
    y: bool = True,
    name: str = "df",
) -> list[Series]:
    """Read the series of a frame, in order of first appearance.

    Args:
        df: a row for each time of each series: columns ``unique_id``, ``ds``, ``y`` and the covariates.
        clock: the clock of the times; None checks only their order.
        past, future: names of covariates.
        y: whether the frame has a column ``y``.
        name: the frame's name in errors.

    Raises:
        ValueError: the frame is not of this form; the message has column, row (counted from 0) and remedy.
    """
    wanted = [*_KEYS, *(["y"] if y else []), *past, *future]
    _check_columns(df, wanted, name)
    numbers = {column: _numbers(df, column, name) for column in wanted[2:]}
    for column in (*past, *future):
        if np.isnan(numbers[column]).any():
            raise ValueError(
                f"{_at(name, column, np.isnan(numbers[column]))} is missing; fill it in, only y may be missing"
            )
    times = _times(df, name)
    ids = df["unique_id"]
    _check_names(ids, name)
    codes, names = pd.factorize(ids)
    places_of = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    found = []
    for of, places in zip(np.asarray(names, dtype=object).tolist(), places_of, strict=True):
        mine = times[places]
        _check_order(mine, places, of, name)
        if clock is not None:
            check_clock(clock, mine, places, of, name)
        values = [numbers["y"][places] if y else np.full(len(places), np.nan)]
        for columns in (past, future):
            stacked = [numbers[column][places] for column in columns]
            values.append(np.stack(stacked, axis=1) if stacked else np.zeros((len(places), 0)))
        if y and np.isnan(values[0]).all():
            raise ValueError(
                f"{name}: column 'y' of series {of!r} is missing in every row; give values or leave it out"
            )
        found.append(Series(of, mine, *values))
    return found


def _check_columns(df: Any, wanted: list[str], name: str) -> None:
    if not isinstance(df, pd.DataFrame):
        raise ValueError(
            f"{name} is a {type(df).__name__}; it must be a pandas data frame with columns {', '.join(wanted)}"
        )
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"past and future name the columns {wanted[2:]}; each column may have one role")
    has = list(df.columns)
    for column in wanted:
        if has.count(column) != 1:
            fault = "twice" if column in has else "not"
            raise ValueError(
                f"{name}: column {column!r} is {fault} there; it has {', '.join(map(str, has))};"
                " use df.rename(columns=...)"
            )
    for column in has:
        if column not in wanted:
            raise ValueError(
                f"{name}: column {column!r} has no role; name it in past= or future= of the Forecaster, or leave it out"
                f" with df.drop(columns=[{column!r}])"
            )
    if not len(df):
        raise ValueError(f"{name} has no rows; it must hold at least one series")


def _at(name: str, column: str, bad: np.ndarray) -> str:
    return f"{name}: column {column!r}, row {int(np.flatnonzero(bad)[0])}"


def _numbers(df: Any, column: str, name: str) -> np.ndarray:
    if not pd.api.types.is_numeric_dtype(df[column]) or pd.api.types.is_complex_dtype(df[column]):
        raise ValueError(
            f"{name}: column {column!r} is of type {df[column].dtype}; it must hold numbers: use pd.to_numeric or codes"
        )
    values = df[column].to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        rule = "write nan where y is missing" if column == "y" else "give a finite number"
        raise ValueError(f"{_at(name, column, np.isinf(values))} is infinite; {rule}")
    return values


def _times(df: Any, name: str) -> Any:
    """Return column ds as an index of dates in one time zone, or of whole numbers."""
    ds = df["ds"]
    missing = ds.isna().to_numpy()
    if missing.any():
        raise ValueError(f"{_at(name, 'ds', missing)} is missing; every row needs a time")
    if pd.api.types.is_integer_dtype(ds):
        return pd.Index(ds.to_numpy(dtype=np.int64))
    if pd.api.types.is_datetime64_any_dtype(ds):
        return pd.DatetimeIndex(ds)
    zones = [getattr(value, "tzinfo", "") for value in ds] if ds.dtype == object else [""]
    if "" not in zones:
        other = np.array([str(zone) != str(zones[0]) for zone in zones])
        if other.any():
            row = int(np.flatnonzero(other)[0])
            raise ValueError(
                f"{_at(name, 'ds', other)} is of time zone {zones[row]}, row 0 of {zones[0]};"
                " use pd.to_datetime(df['ds'], utc=True)"
            )
    if isinstance(ds.dtype, pd.PeriodDtype):
        return pd.DatetimeIndex(ds.dt.to_timestamp())
    if ds.dtype == object and all(isinstance(value, date) for value in ds):
        return pd.DatetimeIndex(ds)
    raise ValueError(
        f"{name}: column 'ds' is of type {ds.dtype}; it must hold dates or whole numbers: use pd.to_datetime"
    )


def _check_names(ids: Any, name: str) -> None:
    bad = np.array([not isinstance(value, str | int | np.integer) for value in ids])
    if bad.any():
        raise ValueError(
            f"{_at(name, 'unique_id', bad)} is {ids.iloc[np.flatnonzero(bad)[0]]}; it must be text or a whole number"
        )


def _check_order(times: Any, places: np.ndarray, of: Any, name: str) -> None:
    for i in np.flatnonzero(np.asarray(times[1:] <= times[:-1])):
        row = f"{name}: column 'ds', row {places[i + 1]}: {times[i + 1]} of series {of!r}"
        if times[i + 1] == times[i]:
            raise ValueError(f"{row} is also in row {places[i]}; remove one, or use df.drop_duplicates")
        raise ValueError(f"{row} comes after {times[i]}; use df.sort_values(['unique_id', 'ds'])")


def check_clock(clock: Clock, times: Any, places: np.ndarray, of: Any, name: str) -> None:
    """Refuse times that are not one step after the previous time.

    Raises:
        ValueError: the message has the first such time.
    """
    Clock.of(clock.freq, times, of)
    expected = clock.times(times[0], len(times))
    wrong = np.flatnonzero(np.asarray(expected != times))
    if len(wrong):
        i = int(wrong[0])
        raise ValueError(
            f"{name}: column 'ds', row {places[i]}: {times[i]} of series {of!r} comes where {expected[i]} is next with"
            f" freq {clock.freq!r}; give another freq, or a row with y missing for each missing time"
        )
