"""Horizon: rows without target at the end of a sequence, for a forecast."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from nounroll.data.tables.columns import Column
from nounroll.data.tables.layout import Layout
from nounroll.data.tables.roles import Roles


def without_horizon(table: Mapping[str, Column], roles: Roles, found: Layout) -> Layout:
    """Cut each sequence after its last step with all targets.

    So training does not depend on such rows. A sequence without any target is not cut.
    """
    there = known(table, roles, found)
    place = np.arange(len(there))
    last = np.maximum.reduceat(np.where(there, place, -1), found.starts[:-1])
    ends = np.where(last < 0, found.starts[1:] - 1, last)
    kept = place <= np.repeat(ends, np.diff(found.starts))
    return replace(
        found,
        rows=found.rows[kept],
        starts=np.concatenate([[0], np.cumsum(ends - found.starts[:-1] + 1)]),
        times=None if found.times is None else found.times[kept],
        own={name: values[kept] for name, values in found.own.items()},
    )


def known(table: Mapping[str, Column], roles: Roles, found: Layout) -> Bool[np.ndarray, "S"]:
    """Mark the steps that have all targets."""
    names = ["value"] if "value" in found.own else list(roles["target"])
    there = np.ones(len(found.rows), dtype=bool)
    for name in names:
        if name in found.own:
            there &= ~np.isnan(found.own[name]).reshape(len(there), -1).any(1)
        elif table[name].kind == "category":
            there &= table[name].values[found.rows] >= 0
        elif table[name].kind == "number":
            there &= ~np.isnan(table[name].values[found.rows])
    return there
