"""Layout of a table: the row of each step of each sequence, for all forms of tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nounroll.data.sources import optional
from nounroll.data.tables.columns import Column
from nounroll.data.tables.dates import local
from nounroll.data.tables.roles import Roles


@dataclass(eq=False)
class Layout:
    """Layout of N concatenated sequences.

    Attributes:
        rows: (S,) the table's row of each step.
        starts: (N + 1,) start of each sequence.
        names: names of the sequences.
        times: (S,), or None.
        own: columns whose values are not in the table's rows: name -> (S,) or (S, d).
    """

    rows: np.ndarray
    starts: np.ndarray
    names: list[str]
    times: np.ndarray | None = None
    own: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def first(self) -> np.ndarray:
        """Return the row of the first step of each sequence."""
        return self.rows[self.starts[:-1]]


def laid_out(where: str, table: Mapping[str, Column], roles: Roles, freq: str | int | None) -> Layout:
    """Find the sequences of a table.

    Raises:
        ValueError: times are missing, repeated, out of order or not one ``freq`` apart, ``freq`` is given without a
            column of times, or a sequence has no steps.
    """
    if freq is not None and (roles.one("time") is None or roles["steps"]):
        raise ValueError(
            f"{where}: table.freq is {freq!r}, but no column has the role time; give one, or leave out freq"
        )
    lists = [name for role in ("input", "target") for name in roles[role] if table[name].kind == "list"]
    if roles["steps"]:
        return _rows_of_steps(where, table, roles)
    if lists:
        return _rows_of_lists(where, table, roles, lists)
    if roles["series"]:
        return _columns_of_series(where, table, roles, freq)
    count = len(_any(table))
    codes, names = identified(where, table, roles["id"]) if roles["id"] else (np.zeros(count, dtype=np.int64), ["all"])
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(names)))])
    found = Layout(order, starts, names)
    if (name := roles.one("time")) is not None:
        found.times = table[name].values[order]
        check_times(where, table[name], found, freq, bool(roles["id"]))
    return found


def identified(where: str, table: Mapping[str, Column], ids: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """Return the sequence number of each row, in order of first appearance, and the names."""
    pd = optional("pandas", where, "tables")
    for name in ids:
        check_whole(where, table[name], "id")
    parts = [_keys(table[name]) for name in ids]
    keys = parts[0] if len(parts) == 1 else pd.MultiIndex.from_arrays(parts)
    codes, names = pd.factorize(keys)
    return codes, [", ".join(map(str, one)) if isinstance(one, tuple) else str(one) for one in names]


def _keys(column: Column) -> np.ndarray:
    if column.kind == "category":
        return np.asarray(column.categories, dtype=object)[column.values]
    if column.exact is not None:
        return column.exact
    return column.values.astype(np.int64) if column.whole else column.values


def check_whole(where: str, column: Column, role: str) -> None:
    """Refuse a missing value in a column of this role.

    Raises:
        ValueError: the message has the row.
    """
    if column.kind == "list":
        raise ValueError(
            f"{where}: column {column.name!r} of the role {role} holds lists; it must hold numbers or names"
        )
    if column.kind == "empty" or column.missing:
        unknown = np.asarray(column.values == -1 if column.kind == "category" else column.values != column.values)
        row = int(unknown.argmax()) + 1 if len(unknown) else 1
        raise ValueError(f"{where}: column {column.name!r}, row {row} is missing; every row needs its {role}")


def check_times(where: str, column: Column, found: Layout, freq: str | int | None, has_id: bool) -> None:
    """Refuse times that do not increase within a sequence, or are not one ``freq`` apart.

    Raises:
        ValueError: the message has the row.
    """
    at, times = f"{where}: column {column.name!r}", found.times
    assert times is not None
    if column.missing:
        row = int(found.rows[int(np.isnat(times).argmax())]) + 1
        raise ValueError(f"{at}, row {row} is missing; every row needs a time")
    same = np.ones(len(times), dtype=bool)
    same[found.starts[:-1]] = False
    wrong = np.flatnonzero(same[1:] & (times[1:] <= times[:-1])) + 1
    if len(wrong):
        i = int(wrong[0])
        shown, before = (_shown(time, column.zone) for time in (times[i], times[i - 1]))
        of = f" of {_name_at(found, i)!r}" if has_id else ""
        other = "" if has_id else ", or name the column that identifies the sequence by the role id"
        if times[i] == times[i - 1]:
            raise ValueError(
                f"{at}, row {found.rows[i] + 1}: {shown}{of} is also in row {found.rows[i - 1] + 1}; remove one{other}"
            )
        raise ValueError(
            f"{at}, row {found.rows[i] + 1}: {shown}{of} comes after {before}; sort the rows by time{other}"
        )
    if freq is not None:
        _check_freq(where, column, found, freq)


def _check_freq(where: str, column: Column, found: Layout, freq: str | int) -> None:
    pd = optional("pandas", where, "tables")
    times = found.times
    assert times is not None
    dates = times.dtype.kind == "M"
    if dates == isinstance(freq, int):
        kind, wanted = ("dates", "an offset of pandas such as 'D'") if dates else ("whole numbers", "a whole number")
        raise ValueError(f"table.freq is {freq!r}, and column {column.name!r} holds {kind}; it must be {wanted}")
    for start, stop in zip(found.starts[:-1].tolist(), found.starts[1:].tolist(), strict=True):
        if isinstance(freq, int):
            expected = times[start] + freq * np.arange(stop - start)
        else:
            try:
                first = local(times[start : start + 1], column.zone)[0]
                dated = pd.date_range(first, periods=stop - start, freq=freq)
                expected = dated.tz_convert(None) if column.zone else dated
                expected = expected.to_numpy().astype("datetime64[ns]")
            except (ValueError, TypeError):
                raise ValueError(
                    f"table.freq is {freq!r}; it must be an offset of pandas, such as 'MS', 'D' or 'h'"
                ) from None
        wrong = np.flatnonzero(expected != times[start:stop])
        if len(wrong):
            i = start + int(wrong[0])
            shown, due = (_shown(time, column.zone) for time in (times[i], expected[wrong[0]]))
            raise ValueError(
                f"{where}: column {column.name!r}, row {found.rows[i] + 1}: {shown} of"
                f" {_name_at(found, i)!r} comes where {due} is next with freq {freq!r};"
                " give another freq, or a row without values for each missing time"
            )


def _name_at(found: Layout, step: int) -> str:
    return found.names[int(np.searchsorted(found.starts, step, side="right")) - 1]


def _shown(time: Any, zone: str) -> str:
    text = str(local(np.array([time]), zone)[0] if zone else time)
    return text.removesuffix(".000000000").removesuffix("T00:00:00")


def _any(table: Mapping[str, Column]) -> Any:
    return next((one.values for one in table.values() if len(one.values)), np.zeros(0))


def _rows_of_steps(where: str, table: Mapping[str, Column], roles: Roles) -> Layout:
    """Lay out one sequence per row, one step per column; empty cells at the end of a row are after its end."""
    columns = [table[name] for name in roles["steps"]]
    for one in columns:
        if one.kind not in ("number", "empty"):
            raise ValueError(
                f"{where}: column {one.name!r} holds {one.kind} values; a column of the role steps holds numbers"
            )
    count = len(_any(table))
    values = np.stack([one.values if one.kind == "number" else np.full(count, np.nan) for one in columns], 1)
    there = ~np.isnan(values)
    lengths = np.where(there.any(1), there.shape[1] - there[:, ::-1].argmax(1), 0)
    if (lengths == 0).any():
        raise ValueError(
            f"{where}: row {int((lengths == 0).argmax()) + 1} has no value in the columns of the role steps; remove it"
        )
    inside = np.arange(values.shape[1]) < lengths[:, None]
    return _of_rows(lengths, {"value": values[inside]})


def _rows_of_lists(where: str, table: Mapping[str, Column], roles: Roles, lists: list[str]) -> Layout:
    """Lay out one sequence per row, in lists of equal lengths."""
    for role in ("id", "time", "future"):
        if roles[role]:
            raise ValueError(
                f"table.roles has {role}, and {lists[0]!r} holds lists, one sequence a row; leave {role} out"
            )
    lengths, own = np.zeros(0, dtype=np.int64), dict[str, np.ndarray]()
    for name in (*roles["input"], *roles["target"]):
        if table[name].kind != "list":
            raise ValueError(
                f"{where}: column {name!r} holds {table[name].kind} values, and {lists[0]!r} lists; make it static"
            )
        chunk = table[name].lists
        mine = np.asarray(chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
        if not (mine > 0).all():
            raise ValueError(f"{where}: column {name!r}, row {int((mine == 0).argmax()) + 1} is empty; remove the row")
        if len(lengths) and (mine != lengths).any():
            row = int((mine != lengths).argmax())
            raise ValueError(
                f"{where}: column {name!r}, row {row + 1} has {mine[row]} steps, and {lists[0]!r} has {lengths[row]}"
            )
        lengths = mine
        flat = chunk.flatten()
        try:
            own[name] = flat.to_numpy(zero_copy_only=False).astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{where}: column {name!r} holds lists of {flat.type}; they must be numbers") from None
    return _of_rows(lengths, own)


def _of_rows(lengths: np.ndarray, own: dict[str, np.ndarray]) -> Layout:
    rows = np.repeat(np.arange(len(lengths)), lengths)
    return Layout(
        rows, np.concatenate([[0], np.cumsum(lengths)]), [f"row {i + 1}" for i in range(len(lengths))], None, own
    )


def _columns_of_series(where: str, table: Mapping[str, Column], roles: Roles, freq: str | int | None) -> Layout:
    """Lay out one sequence per column, one step per row."""
    count, names = len(_any(table)), list(roles["series"])
    for name in names:
        if table[name].kind != "number":
            raise ValueError(
                f"{where}: column {name!r} holds {table[name].kind} values; a column of the role series holds numbers"
            )
    found = Layout(np.tile(np.arange(count), len(names)), np.arange(len(names) + 1) * count, names)
    found.own["value"] = np.concatenate([table[name].values for name in names])
    if (time := roles.one("time")) is not None:
        found.times = table[time].values[found.rows]
        check_times(where, table[time], found, freq, True)
    return found
