"""Dates in text, in any format; all dates of a column must have the same format."""

import re
from typing import Any

import numpy as np

from nounroll.data.sources import optional

_MOSTLY = 0.9
_DAYS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d %b %Y",
    "%b %d %Y",
    "%Y-%m",
    "%Y%m%d",
)
_HOURS = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S")
_ISO_ZONED = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})$"
_ISO = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?$"
_SAMPLE = 200


def as_dates(at: str, array: Any, form: str | None, wanted: bool) -> tuple[np.ndarray, str] | None:
    """Parse dates to datetime64[ns] and their time zone; None if the text holds no dates.

    Args:
        at: the column's name in errors.
        array: text in a chunked array of pyarrow.
        form: format of the dates for ``strptime``; guessed when None.
        wanted: the column must hold dates.

    Raises:
        ValueError: only some values are dates, time zones differ or are missing, or dates are ambiguous.
    """
    pd = optional("pandas", at, "tables")
    pc = optional("pyarrow.compute", at, "tables")
    zoned = pc.match_substring_regex(array, _ISO_ZONED)
    if pc.any(zoned).as_py():
        return _zoned(at, array, zoned)
    texts = pd.Series(
        array.to_pylist() if len(array) < _SAMPLE else array.slice(0, _SAMPLE).to_pylist(), dtype=object
    ).dropna()
    if not len(texts) or not (wanted or form or all(re.search(r"\d", str(text)) for text in texts)):
        return None
    forms = [form] if form else [f"{day}{hour}" for day in _DAYS for hour in _HOURS]
    shares = {one: float(pd.to_datetime(texts, format=one, errors="coerce").notna().mean()) for one in forms}
    likely = [one for one, share in shares.items() if share >= _MOSTLY]
    if not likely:
        if not wanted:
            return None
        raise ValueError(
            f"{at} holds {str(texts.iloc[0])[:40]!r}, not a date in a known format; set dates, such as '%d.%m.%Y'"
        )
    whole = pd.Series(array.to_pylist(), dtype=object)
    read = {one: pd.to_datetime(whole, format=one, errors="coerce") for one in likely}
    faults = {one: (values.isna() & whole.notna()).to_numpy() for one, values in read.items()}
    fitting = [one for one in likely if not faults[one].any()]
    if not fitting:
        best = min(likely, key=lambda one: faults[one].sum())
        row = int(faults[best].argmax())
        raise ValueError(
            f"{at}, row {row + 1} is {str(whole[row])[:40]!r}, and others are dates such as"
            f" {texts.iloc[0]!r}; write all dates in one format"
        )
    for other in fitting[1:]:
        if not read[other].equals(read[fitting[0]]):
            raise ValueError(
                f"{at} holds {texts.iloc[0]!r}, which may be read as {fitting[0]} or as {other}; set dates to one of"
                " them"
            )
    return read[fitting[0]].to_numpy().astype("datetime64[ns]"), ""


def local(times: np.ndarray, zone: str) -> Any:
    """Return dates as an index of pandas; with a time zone, they are given in UTC and returned in the zone."""
    pd = optional("pandas", "times", "tables")
    found = pd.DatetimeIndex(times)
    return found.tz_localize("UTC").tz_convert(zone) if zone else found


def _zoned(at: str, array: Any, zoned: Any) -> tuple[np.ndarray, str]:
    """Convert instants with offsets to UTC."""
    pd = optional("pandas", at, "tables")
    without = ~zoned.fill_null(True).to_numpy(zero_copy_only=False)
    if without.any():
        row = int(without.argmax())
        first = int((~without).argmax())
        raise ValueError(
            f"{at}, row {row + 1} is {array[row].as_py()[:40]!r}, and row {first + 1} has a time zone,"
            f" {array[first].as_py()[:40]!r}; give all of them one"
        )
    values = pd.to_datetime(pd.Series(array.to_pylist(), dtype=object), utc=True, format="ISO8601")
    return values.dt.tz_localize(None).to_numpy().astype("datetime64[ns]"), "UTC"
