"""Conversion of a table's columns to arguments of ``nounroll.Sequences``."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nounroll.core.notices import notice
from nounroll.data.ragged import NONE, Ragged
from nounroll.data.tables.columns import Column
from nounroll.data.tables.layout import Layout
from nounroll.data.tables.roles import Roles


class NothingToPredict(ValueError):
    """Error: no column has the role of a target or label."""


_MOST = 200  # categories of a column, at most, as 0/1 columns
_FINEST = 1e-5  # relative spread of 100 times the rounding error of single precision
_LARGEST = 1e18  # its square fits in single precision


def arguments(where: str, table: Mapping[str, Column], roles: Roles, found: Layout, ahead: int) -> dict[str, Any]:
    """Return the arguments of ``Sequences``, except for the split.

    Args:
        where: the table's name in errors.
        table: the columns.
        roles: the roles of the columns.
        found: the layout of rows as steps.
        ahead: steps from an input to the target to predict.

    Raises:
        ValueError: a column cannot have its role; a sequence is too short.
    """
    inputs, targets = list(roles["input"]), list(roles["target"])
    if "value" in found.own:  # for the roles steps and series
        inputs, targets = ["value", *inputs], [] if roles["label"] else ["value"]
    fixed = _static(where, table, roles, found)
    if roles["label"]:
        labels = _labels(where, table[roles["label"][0]], found)
        return {
            **_inputs(where, table, found, inputs, slice(None), found.starts, bool(fixed)),
            **fixed,
            "labels": labels,
        }
    if not targets:
        raise NothingToPredict(
            f"{where}: no column has the role target or label, so there is nothing to predict; name one"
        )
    read = [*dict.fromkeys((*targets, *inputs))] if ahead else [*inputs, *roles["future"]]
    if not read:
        raise ValueError(
            f"{where}: ahead is 0, and no column has the role input; then there is nothing to predict the target from"
        )
    first, last, starts = shifted(where, found, ahead)
    if ahead and roles["future"]:
        fixed["future"] = _future(where, table, roles, found, ahead)
    made = _inputs(where, table, found, read, first, starts, bool(fixed))
    return {**made, **fixed, "targets": _targets(where, table, found, targets, last, starts)}


def _inputs(
    where: str, table: Mapping[str, Column], found: Layout, names: list[str], steps: Any, starts: np.ndarray, more: bool
) -> dict[str, Any]:
    """Return the inputs at these steps: symbols if the only column holds names, otherwise numbers.

    Args:
        more: whether other numbers are read too.
    """
    if not names:
        raise ValueError(f"{where}: no column has the role input, so there is nothing to read; name one")
    if len(names) == 1 and not more and _is_symbols(table, names[0], found):
        return _symbols(table[names[0]], found.rows[steps], starts)
    values, columns = features(where, table, found, names, found.rows, steps)
    return {"inputs": _ragged(values, starts, columns)}


def shifted(where: str, found: Layout, ahead: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the steps to read, the steps to predict from them, and the starts of sequences."""
    lengths = np.diff(found.starts)
    if (lengths <= ahead).any():
        i = int((lengths <= ahead).argmax())
        raise ValueError(
            f"{where}: sequence {found.names[i]!r} has {lengths[i]} steps, the first in row {found.first[i] + 1};"
            f" predicting {ahead} ahead needs {ahead + 1}: leave it out"
        )
    place = np.arange(len(found.rows)) - np.repeat(found.starts[:-1], lengths)
    left = np.repeat(lengths, lengths) - place
    return (
        np.flatnonzero(left > ahead),
        np.flatnonzero(place >= ahead),
        np.concatenate([[0], np.cumsum(lengths - ahead)]),
    )


def _is_symbols(table: Mapping[str, Column], name: str, found: Layout) -> bool:
    return name not in found.own and table[name].kind == "category"


def _symbols(column: Column, rows: np.ndarray, starts: np.ndarray) -> dict[str, Any]:
    codes = torch.from_numpy(column.values[rows])
    made: dict[str, Any] = {"inputs": Ragged(codes.clamp(min=0), torch.from_numpy(starts), column.categories)}
    if column.missing:
        made["observed"] = [one.numpy() for one in (codes >= 0).split(np.diff(starts).tolist())]
    return made


def features(
    where: str, table: Mapping[str, Column], found: Layout, names: list[str], rows: np.ndarray, steps: Any = slice(None)
) -> tuple[np.ndarray, list[str]]:
    """Convert columns to numbers at these steps, (S, d) float32, with names; each category becomes a 0/1 column."""
    widths = [1 if one in found.own or table[one].kind == "number" else _indicators(where, table[one]) for one in names]
    picked = rows[steps]
    values, columns = np.empty((len(picked), sum(widths)), dtype=np.float32), list[str]()
    for name, width in zip(names, widths, strict=True):
        place = len(columns)
        if name in found.own:
            values[:, place] = _fine(where, name, found.own[name])[steps]
            columns.append(name)
        elif table[name].kind == "number":
            values[:, place] = _fine(where, name, table[name].values)[picked]
            columns.append(name)
        else:
            codes = table[name].values[picked]
            kinds = [*table[name].categories, *(["missing"] if table[name].missing else [])]
            for j in range(width):
                values[:, place + j] = codes == (j if j < len(table[name].categories) else -1)
            columns += [f"{name}={kind}" for kind in kinds]
    return values, columns


def _indicators(where: str, column: Column) -> int:
    if column.kind != "category":
        remedy = "it has no value" if column.kind == "empty" else f"it holds {column.kind} values"
        raise ValueError(
            f"{where}: column {column.name!r} cannot be read by the network, {remedy}; leave it out by the role ignore"
        )
    count = len(column.categories)
    if count > _MOST:
        raise ValueError(
            f"{where}: column {column.name!r} has {count:,} categories, such as {column.categories[0][:40]!r};"
            f" at most {_MOST} are allowed, one 0/1 column each: leave it out by the role ignore, or make it the id"
        )
    return count + bool(column.missing)


def _fine(where: str, name: str, values: np.ndarray) -> np.ndarray:
    """Return the values; refuse them if single precision cannot distinguish them."""
    with np.errstate(all="ignore"):
        largest, spread = float(np.nanmax(np.abs(values))), float(np.nanmax(values) - np.nanmin(values))
    if largest > _LARGEST:
        raise ValueError(
            f"{where}: column {name!r} holds {largest:.3g}, which is too large for single precision; scale it"
        )
    if 0 < spread < _FINEST * largest:
        raise ValueError(
            f"{where}: column {name!r} is near {largest:.6g} and varies by {spread:.2g}, which single precision does"
            " not distinguish; subtract a constant from it"
        )
    return values


def _ragged(values: np.ndarray, starts: np.ndarray, names: list[str]) -> Ragged:
    return Ragged(torch.from_numpy(values), torch.from_numpy(starts), tuple(names))


def _targets(
    where: str, table: Mapping[str, Column], found: Layout, names: list[str], steps: np.ndarray, starts: np.ndarray
) -> Ragged:
    """Return the targets; a step with a missing target is not scored."""
    for name in names:
        if name not in found.own and table[name].kind not in ("number", "category"):
            raise ValueError(
                f"{where}: column {name!r} of the role target holds {table[name].kind} values; it must hold numbers or"
                " names"
            )
    if len(names) == 1 and _is_symbols(table, names[0], found):
        codes = torch.from_numpy(table[names[0]].values[found.rows[steps]])
        codes = torch.where(codes < 0, NONE, codes)
        return Ragged(codes, torch.from_numpy(starts), table[names[0]].categories)
    symbols = [name for name in names if _is_symbols(table, name, found)]
    if symbols:
        raise ValueError(f"{where}: column {symbols[0]!r} of the role target holds names; it must be the only target")
    values, _ = features(where, table, found, names, found.rows, steps)
    missing = np.isnan(values)
    if partly := int((missing.any(1) & ~missing.all(1)).sum()):
        notice(f"{where}: {partly:,} steps have a value in only some columns of the role target; they are not scored")
    values[missing.any(1)] = np.nan
    if np.isnan(values).all():
        raise ValueError(f"{where}: no row has values in all columns of the role target; give one of them another role")
    return _ragged(values, starts, names)


def _future(where: str, table: Mapping[str, Column], roles: Roles, found: Layout, ahead: int) -> Ragged:
    """Return the rows from ``ahead - 1`` on, because ``Sequences`` reads each row one step ahead."""
    lengths = np.diff(found.starts)
    place = np.arange(len(found.rows)) - np.repeat(found.starts[:-1], lengths)
    values, names = features(where, table, found, list(roles["future"]), found.rows, np.flatnonzero(place >= ahead - 1))
    return _ragged(values, np.concatenate([[0], np.cumsum(lengths - ahead + 1)]), names)


def _static(where: str, table: Mapping[str, Column], roles: Roles, found: Layout) -> dict[str, Any]:
    if not roles["static"]:
        return {}
    for name in roles["static"]:
        each(where, table[name], found, "static")
    values, names = features(
        where, table, Layout(found.first, found.starts, found.names), list(roles["static"]), found.first
    )
    return {"static": _ragged(values, np.arange(len(values) + 1), names)}


def each(where: str, column: Column, found: Layout, role: str) -> np.ndarray:
    """Return the value of each sequence in a column that is constant within sequences.

    Raises:
        ValueError: a value changes within a sequence.
    """
    if column.kind in ("list", "empty"):
        holds = "holds lists" if column.kind == "list" else "has no value"
        raise ValueError(f"{where}: column {column.name!r} of the role {role} {holds}; it must hold numbers or names")
    values = (column.values if column.exact is None else column.exact)[found.rows]
    starts = np.repeat(found.starts[:-1], np.diff(found.starts))
    other = (values != values[starts]) & ~((values != values) & (values[starts] != values[starts]))
    if other.any():
        step = int(other.argmax())
        i = int(np.searchsorted(found.starts, step, side="right")) - 1
        raise ValueError(
            f"{where}: column {column.name!r}, row {found.rows[step] + 1} differs from row {found.first[i] + 1} of"
            f" the same sequence {found.names[i]!r}; a {role} column has one value in each"
        )
    return values[found.starts[:-1]]


def _labels(where: str, column: Column, found: Layout) -> Any:
    values = each(where, column, found, "label")
    if column.kind not in ("number", "category"):
        raise ValueError(
            f"{where}: column {column.name!r} of the role label holds {column.kind} values; it must hold numbers or"
            " names"
        )
    unknown = values == -1 if column.kind == "category" else np.isnan(values)
    if unknown.any():
        i = int(unknown.argmax())
        raise ValueError(
            f"{where}: column {column.name!r}, row {found.first[i] + 1} is missing; every sequence needs its label"
        )
    if column.kind == "category":
        return [column.categories[code] for code in values.tolist()]
    return [str(int(v)) for v in values] if column.whole else values
