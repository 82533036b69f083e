"""Split of a table into training, validation and test sequences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nounroll.data.tables.arguments import each, shifted
from nounroll.data.tables.columns import Column
from nounroll.data.tables.layout import Layout, check_whole, identified
from nounroll.data.tables.roles import Roles


def split(where: str, table: Mapping[str, Column], roles: Roles, found: Layout, ahead: int) -> dict[str, Any]:
    """Split the sequences by a column, by group, by time if there is a target, or at random."""
    if name := roles.one("part"):
        column = table[name]
        if column.kind != "category":
            raise ValueError(
                f"{where}: column {name!r} of the role part holds {column.kind} values; it must hold"
                " train, validation or test"
            )
        check_whole(where, column, "part")
        codes = each(where, column, found, "part").tolist()
        return {"split": [column.categories[code] for code in codes]}
    if name := roles.one("group"):
        check_whole(where, table[name], "group")
        each(where, table[name], found, "group")
        codes, _ = identified(where, table, (name,))
        return {"groups": codes[found.first]}
    if roles["label"]:
        return {}
    _, last, starts = shifted(where, found, ahead)
    times = found.times if found.times is not None else _counted(found)
    return {"times": np.split(times[last], starts[1:-1])}


def _counted(found: Layout) -> np.ndarray:
    """Return the index of each step in its sequence, for tables without times."""
    return np.arange(len(found.rows)) - np.repeat(found.starts[:-1], np.diff(found.starts))


def with_test(where: str, first: np.ndarray, count: int, shares: Sequence[float], seed: int) -> dict[str, Any]:
    """Assign a part to each sequence; sequences from row ``count`` on are the test part."""
    before = int((first < count).sum())
    train, validation = shares[:2]
    held = max(1, round(before * validation / (train + validation)))
    if before < 2:
        raise ValueError(
            f"{where} has too few sequences, {before}; with table.test two are needed, one of them for validation"
        )
    order = np.random.RandomState(seed).permutation(np.flatnonzero(first < count))
    parts = np.where(first < count, "train", "test").astype(object)
    parts[order[:held]] = "validation"
    return {"split": parts.tolist()}
