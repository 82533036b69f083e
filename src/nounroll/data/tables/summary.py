"""Summary of a table: its columns with types and roles, its sequences, its parts, and oddities."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from nounroll.core.notices import Notice
from nounroll.data.named_spaces import known
from nounroll.data.parts import PARTS
from nounroll.data.tables.arguments import NothingToPredict
from nounroll.data.tables.columns import Column
from nounroll.data.tables.dates import local
from nounroll.data.tables.layout import Layout
from nounroll.data.tables.roles import Roles
from nounroll.data.tables.table import Table


def understood(options: Mapping[str, Any]) -> dict[str, Any]:
    """Summarise how the task ``table`` reads a file, as plain values.

    Args:
        options: options of the task. Without a target or label, the summary has only columns and sequences.

    Raises:
        ValueError: see ``Table``.
    """
    task, parts, odd = object.__new__(Table), dict[str, Any](), list[str]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)  # the summary contains all notices
        try:
            Table.__init__(task, **options)
            parts = {"parts": parts_of(task), "inputs": str(task.inputs), "targets": str(task.targets)}
            parts |= {"classes": task.classes} if task.classes else {}
        except ValueError as error:
            if not isinstance(error, NothingToPredict) and ("roles" in options or not hasattr(task, "roles")):
                raise
            odd = [] if isinstance(error, NothingToPredict) else [str(error)]
    layout = getattr(task, "layout", None)
    if layout is not None and (ahead := len(task.whole.rows) - len(layout.rows)):
        odd.append(f"{ahead:,} rows at the end of sequences have no target: they are not trained on, but forecast")
    roles = {role: names[0] if len(names) == 1 else list(names) for role, names in task.roles.columns.items() if names}
    return {
        "file": str(options["path"]),
        "rows": task.rows,
        "columns": columns_of(task.columns, task.roles),
        "sequences": None if layout is None else sequences_of(layout),
        **parts,
        "advice": [*odd, *advice(task.columns, task.roles, layout)],
        "recipe": {"kind": "table", "options": {**options, "roles": roles}},
    }


def described(column: Column, role: str, guessed: bool) -> dict[str, Any]:
    """Describe a column in plain values."""
    found: dict[str, Any] = {"name": column.name, "type": column.kind, "role": role, "guessed": guessed}
    if column.kind == "number":
        found["type"] = "whole numbers" if column.whole else "numbers"
        found["from"], found["to"] = float(np.nanmin(column.values)), float(np.nanmax(column.values))
    elif column.kind == "category":
        found["categories"], found["first"] = len(column.categories), list(column.categories[:5])
    elif column.kind == "empty" and not column.missing:
        found["type"] = "not read"
    elif column.kind == "time":
        times = column.values if column.values.dtype.kind != "M" else column.values[~np.isnat(column.values)]
        if column.zone:
            times = local(times, column.zone).tz_localize(None).to_numpy().astype("datetime64[ns]")
        found["from"], found["to"], found["zone"] = str(times.min()), str(times.max()), column.zone
    found["missing"] = column.missing
    return found


def columns_of(table: Mapping[str, Column], roles: Roles) -> list[dict[str, Any]]:
    """Describe all columns in plain values."""
    return [described(one, roles.of(name), name in roles.guessed) for name, one in table.items()]


def sequences_of(found: Layout) -> dict[str, Any]:
    """Count the sequences and their lengths."""
    lengths = np.diff(found.starts)
    return {
        "count": len(lengths),
        "shortest": int(lengths.min()),
        "median": int(np.median(lengths)),
        "longest": int(lengths.max()),
        "names": found.names[:5],
    }


def parts_of(task: Table) -> dict[str, dict[str, int]]:
    """Count the pieces and scored steps of each part, as training and evaluation read them."""
    found = {}
    before = torch.cat([torch.zeros(1, dtype=torch.int64), known(task._targets.values).cumsum(0)])
    for part in PARTS:
        pieces = task._pieces[task._parts[part].unique()]
        steps = len(pieces) if task.roles["label"] else int((before[pieces[:, 2]] - before[pieces[:, 1]]).sum())
        found[part] = {"pieces": len(pieces), "scored": steps}
    return found


def advice(table: Mapping[str, Column], roles: Roles, found: Layout | None) -> Iterator[str]:
    """List oddities, one line each, with a remedy."""
    for name, one in table.items():
        role = roles.of(name)
        if one.kind == "empty" and role != "ignore":
            yield f"column {name!r} has no value at all; leave it out by the role ignore"
        elif one.kind == "empty" and name not in roles["ignore"]:
            yield f"column {name!r} has no value at all and is left out"
        if role == "ignore":
            continue
        if one.kind == "number" and one.values.size and np.nanmin(one.values) == np.nanmax(one.values):
            value = np.nanmin(one.values)
            yield f"column {name!r} is constant ({value:g}); leave it out by the role ignore"
        if (
            role in ("input", "future", "static")
            and one.kind == "category"
            and len(one.categories) > len(one.values) / 2
        ):
            yield f"column {name!r} has a new name in most rows; leave it out by the role ignore, or make it the id"
        if role in ("input", "future") and one.kind == "number" and one.whole and roles.guessed.get(name):
            yield from _whole(name, one)
    targets = [table[name].values for name in roles["target"] if name in table and table[name].kind == "number"]
    missing = np.isnan(np.stack(targets)) if targets else np.zeros((0, 0), dtype=bool)
    if partly := int((missing.any(0) & ~missing.all(0)).sum()):
        yield f"{partly:,} rows have a value in only some columns of the role target, and are not scored; fill them in"
    if not roles["target"] and not roles["label"] and not roles["steps"] and not roles["series"]:
        yield "no column has the role target or label: name the column to predict, such as --role target=COLUMN"
    if found is not None and found.times is not None:
        yield from _spacing(found)


def _whole(name: str, one: Column) -> Iterator[str]:
    count = len(np.unique(one.values[~np.isnan(one.values)]))
    if 2 < count <= 20 and count < len(one.values) / 20:
        yield f"column {name!r} holds {count} whole numbers; if they name kinds, say so by --type {name}=category"
    elif count == len(one.values) and (np.diff(one.values) == 1).all():
        yield f"column {name!r} counts the rows; leave it out by the role ignore, or make it the time"


def _spacing(found: Layout) -> Iterator[str]:
    assert found.times is not None
    steps = np.diff(found.times)
    inside = np.ones(len(steps), dtype=bool)
    inside[found.starts[1:-1] - 1] = False
    steps = steps[inside]
    if not len(steps) or steps.dtype.kind != "m":
        return
    days = steps.astype("timedelta64[s]").astype(float) / 86400
    if days.max() > 1.6 * days.min():
        yield (
            f"times are {days.min():.6g} to {days.max():.6g} days apart, and the network reads rows as equal steps;"
            " give a row without values for each missing time, and check the times by freq"
        )
