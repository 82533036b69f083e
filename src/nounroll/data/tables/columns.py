"""Columns: the kind of their values, guessed from all values, and the values as arrays."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from nounroll.data.classes import by_size
from nounroll.data.sources import optional
from nounroll.data.tables.dates import as_dates, local

Kind = Literal["number", "category", "time", "list", "empty"]
KINDS: tuple[str, ...] = get_args(Kind)
_DIGITS = 2**53  # double precision distinguishes all whole numbers below
_MOSTLY = 0.9  # share of numbers or dates in a text column above which other values are faults
_THOUSANDS = {
    ".": r"^[+-]?\d{1,3}([,'_ \x{a0}\x{202f}]\d{3})+(\.\d*)?$",
    ",": r"^[+-]?\d{1,3}([.'_ \x{a0}\x{202f}]\d{3})+(,\d*)?$",
}
_NUMBER = {".": r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$", ",": r"^[+-]?(\d+(,\d*)?|,\d+)([eE][+-]?\d+)?$"}
_MARKS = r"[,'_ \x{a0}\x{202f}]"
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)


@dataclass(eq=False)
class Column:
    """Column of a table.

    Attributes:
        name: the column's name.
        kind: kind of the values.
        values: float64 with nan for missing values (number); codes of ``categories``, -1 for missing ones (category);
            datetime64[ns] or int64 (time); empty for other kinds.
        categories: sorted names.
        missing: number of missing values.
        whole: whether all numbers are written as whole numbers.
        zone: time zone; "" without one.
        lists: chunked array of pyarrow (list).
        exact: whole numbers with more digits than ``values`` can hold.
    """

    name: str
    kind: Kind
    values: np.ndarray
    missing: int
    categories: tuple[str, ...] = ()
    whole: bool = False
    zone: str = ""
    lists: Any = None
    exact: np.ndarray | None = None


def column(
    where: str, name: str, array: Any, *, decimal: str = ".", wanted: str | None = None, dates: str | None = None
) -> Column:
    """Read a column.

    Args:
        where: the table's name in errors.
        name: the column's name.
        array: chunked array of pyarrow.
        decimal: decimal sign in text.
        wanted: the kind that the user gives.
        dates: format of dates in text, for ``strptime``.

    Raises:
        ValueError: the message has column, row (the first below the header is 1), value and remedy.
    """
    pa = optional("pyarrow", where, "tables")
    at, kind = f"{where}: column {name!r}", array.type
    if pa.types.is_dictionary(kind):  # categories
        array, kind = array.cast(kind.value_type), kind.value_type
        if not pa.types.is_temporal(kind):
            wanted = wanted or "category"
    missing = array.null_count
    if missing == len(array) or pa.types.is_null(kind):
        return Column(name, "empty", np.zeros(0), len(array))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return Column(name, "list", np.zeros(0), missing, lists=array.combine_chunks())
    if pa.types.is_boolean(kind) and wanted != "category":
        array, kind = array.cast(pa.int8()), pa.int8()
    if pa.types.is_decimal(kind):
        array, kind = array.cast(pa.float64()), pa.float64()
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _times(at, name, array, missing)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _numbers(at, name, array, wanted, dates)
    if not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_boolean(kind)
    ):
        raise ValueError(f"{at} is of type {kind}, which is not supported; leave it out by the role ignore")
    return _text(at, name, array.cast(pa.string()), decimal, wanted, dates)


def _numbers(at: str, name: str, array: Any, wanted: str | None, dates: str | None) -> Column:
    pa = optional("pyarrow", at, "tables")
    whole = bool(pa.types.is_integer(array.type))
    if wanted == "category" or (wanted == "time" and dates):
        return _text(at, name, array.cast(pa.string()), ".", wanted, dates)
    if wanted == "time":
        if not whole or array.null_count:
            raise ValueError(
                f"{at} holds numbers that are not times; times must be dates, or whole numbers in every row"
            )
        return Column(name, "time", array.to_numpy().astype(np.int64), 0)
    values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    bad = np.isinf(values)
    if bad.any():
        raise ValueError(
            f"{at}, row {int(bad.argmax()) + 1} is infinite; write a finite number, or nothing for a missing value"
        )
    missing = int(np.isnan(values).sum())
    if missing == len(values):
        return Column(name, "empty", np.zeros(0), missing)
    long = whole and not missing and np.abs(values).max() >= _DIGITS
    exact = array.to_numpy() if long else None
    return Column(name, "number", values, missing, whole=whole, exact=exact)


def _times(at: str, name: str, array: Any, missing: int) -> Column:
    pa = optional("pyarrow", at, "tables")
    zone = getattr(array.type, "tz", None) or ""
    try:
        local(np.zeros(1, dtype="datetime64[ns]"), zone)
    except (ValueError, TypeError, KeyError):  # a name of the user, such as that of a dateutil.tz.tzoffset
        zone = "UTC"
    try:
        values = array.cast(pa.timestamp("ns")).to_numpy(zero_copy_only=False) if not zone else _in_zone(array)
    except pa.ArrowInvalid:
        raise ValueError(
            f"{at} holds dates outside the years 1678 to 2261; leave it out, or give whole numbers"
        ) from None
    return Column(name, "time", values.astype("datetime64[ns]"), missing, zone=zone)


def _in_zone(array: Any) -> np.ndarray:
    """Convert instants to UTC, which always increases, without a zone."""
    pa = optional("pyarrow", "times", "tables")
    return array.cast(pa.timestamp("ns", tz="UTC")).cast(pa.timestamp("ns")).to_numpy(zero_copy_only=False)


def _text(at: str, name: str, array: Any, decimal: str, wanted: str | None, dates: str | None) -> Column:
    if wanted in (None, "number"):
        found = _as_numbers(at, name, array, decimal, wanted)
        if found is not None:
            return found
    if wanted in (None, "time"):
        found = as_dates(at, array, dates, wanted == "time")
        if found is not None:
            values, zone = found
            return Column(name, "time", values, int(np.isnat(values).sum()), zone=zone)
    pc = optional("pyarrow.compute", at, "tables")
    encoded = pc.dictionary_encode(array.combine_chunks())
    names = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=lambda i: by_size(names[i]))
    places = np.empty(len(names) + 1, dtype=np.int64)
    places[order] = np.arange(len(names))
    places[-1] = -1
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Column(name, "category", places[codes], array.null_count, tuple(names[i] for i in order))


def _as_numbers(at: str, name: str, array: Any, decimal: str, wanted: str | None) -> Column | None:
    """Parse text as numbers; None if it is something else."""
    pc = optional("pyarrow.compute", at, "tables")
    pa = optional("pyarrow", at, "tables")
    trimmed = pc.utf8_trim_whitespace(array)
    plain = pc.match_substring_regex(trimmed, _NUMBER[decimal])
    fits = pc.or_(plain, pc.match_substring_regex(trimmed, _THOUSANDS[decimal]))
    share = (pc.sum(fits).as_py() or 0) / (len(array) - array.null_count)
    if share < 1:
        if share < _MOSTLY and wanted is None:
            return None
        row = int(np.argmax(~fits.fill_null(True).to_numpy(zero_copy_only=False)))
        raise ValueError(
            f"{at}, row {row + 1} is {array[row].as_py()[:80]!r}; {_remedy(array[row].as_py(), decimal, name)}"
        )
    if pc.all(pc.match_substring_regex(trimmed, r"^[+-]?\d+$")).as_py():
        with suppress(pa.ArrowInvalid):  # a number may be too long
            return _numbers(at, name, pc.cast(pc.utf8_ltrim(trimmed, "+"), pa.int64()), None, None)
    marks = _MARKS if decimal == "." else _MARKS.replace(",", ".")
    cleaned = pc.replace_substring_regex(trimmed, marks, "")
    values = pc.cast(cleaned if decimal == "." else pc.replace_substring(cleaned, ",", "."), pa.float64())
    return _numbers(at, name, values, None, None)


def _remedy(cell: str, decimal: str, name: str) -> str:
    if _INFINITE.fullmatch(cell.strip()):
        return "write a finite number, or nothing for a missing value"
    other = "," if decimal == "." else "."
    if re.fullmatch(rf"[+-]?\d+\{other}\d*", cell.strip()):
        return f"decimals are written with {decimal!r} elsewhere; write all in one way, or set table.decimal"
    return f"write a number, or nothing for a missing value; or set its kind by types: {{{name}: category}}"
