"""Roles of the columns of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nounroll.data.tables.columns import Column

ROLES = {
    "id": "identifies the sequence",
    "time": "is the time of a row",
    "target": "is predicted at each step",
    "label": "is predicted at the end of a sequence",
    "input": "is known up to now",
    "future": "is known one step ahead",
    "static": "is constant within a sequence",
    "group": "keeps sequences in one part",
    "part": "is train, validation or test",
    "steps": "is a step of the row's sequence",
    "series": "is one whole sequence",
    "ignore": "is not used",
}
_ONE = ("time", "label", "group", "part")
_INDEX = "__index_level_"  # begins the name that pandas gives an index without one
_NAMELESS = ("0", "Unnamed: 0")  # a first column without a name, as read here and by pandas
_USUAL = {"unique_id": "id", "ds": "time", "y": "target"}  # Nixtla's names


@dataclass(frozen=True)
class Roles:
    """The columns of each role, in order.

    Attributes:
        columns: role -> names.
        guessed: column -> role, for columns without a role from the user.
    """

    columns: Mapping[str, tuple[str, ...]]
    guessed: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, role: str) -> tuple[str, ...]:
        return self.columns.get(role, ())

    def one(self, role: str) -> str | None:
        return self[role][0] if self[role] else None

    def of(self, name: str) -> str:
        return next((role for role, names in self.columns.items() if name in names), "ignore")


def assigned(where: str, given: Mapping[str, str | Sequence[str]], table: Mapping[str, Column], count: int) -> Roles:
    """Assign a role to each column: the user's role, or input for suitable columns if the user names no input.

    Args:
        where: the table's name in errors.
        given: role -> columns.
        table: the columns.
        count: number of rows before the rows of another file.

    Raises:
        ValueError: a role or column is unknown, a column has two roles, or roles conflict.
    """
    names, found = list(table), dict[str, tuple[str, ...]]()
    for role, value in given.items():
        if role not in ROLES:
            raise ValueError(f"table.roles has {role!r}; a role is one of {', '.join(ROLES)}")
        listed = _listed(role, value, names)
        if role in _ONE and len(listed) != 1:
            raise ValueError(f"table.roles.{role} is {value!r}; it must name one column")
        for name in listed:
            if name not in names:
                raise ValueError(f"table.roles.{role} names the column {name!r}; {where} has {', '.join(names)}")
            other = next((r for r, columns in found.items() if name in columns), None)
            if other is not None or listed.count(name) > 1:
                raise ValueError(f"table.roles gives column {name!r} the role {role} and {other or role}; give it one")
        found[role] = tuple(listed)
    _check_together(found)
    guessed = _guessed(found, table, count, bare=not given)
    for name, role in guessed.items():
        found[role] = (*found.get(role, ()), name)
    return Roles(found, guessed)


def _listed(role: str, value: Any, names: list[str]) -> list[str]:
    """List names of columns; ``first:last`` is a range."""
    listed = [value] if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
    if not listed or not all(isinstance(one, str) for one in listed):
        raise ValueError(f"table.roles.{role} is {value!r}; it must name a column, or be a list of columns")
    whole: list[str] = []
    for one in listed:
        first, colon, last = one.partition(":")
        if one not in names and colon and first in names and last in names:
            whole += names[names.index(first) : names.index(last) + 1]
        else:
            whole.append(one)
    return whole


def _check_together(found: Mapping[str, tuple[str, ...]]) -> None:
    for role, others in (
        ("label", ("target", "future", "series")),
        ("steps", ("id", "time", "target", "input", "future", "series")),
        ("series", ("id", "target")),
        ("part", ("group",)),
    ):
        for other in others:
            if role in found and other in found:
                raise ValueError(f"table.roles has {role} and {other}, which do not go together; give one of them")


def _guessed(
    found: Mapping[str, tuple[str, ...]], table: Mapping[str, Column], count: int, *, bare: bool
) -> dict[str, str]:
    """Guess the roles of the other columns: a single column of dates is the time, and suitable columns are inputs.

    The rows' numbers, which pandas writes into a file, are not.
    """
    taken = {name for names in found.values() for name in names}
    free = [name for name in table if name not in taken]
    guessed: dict[str, str] = {}
    if bare:
        guessed |= {name: role for name, role in _USUAL.items() if name in free}
    times = [name for name in free if table[name].kind == "time" and name not in guessed]
    if len(times) == 1 and "time" not in found and "time" not in guessed.values() and "steps" not in found:
        guessed[times[0]] = "time"
    alone = "steps" in found or "series" in found or "input" in found
    for name in free:
        suitable = table[name].kind in ("number", "category", "list") and not _is_index(name, table, count)
        if name not in guessed and not alone and suitable:
            guessed[name] = "input"
    return guessed


def _is_index(name: str, table: Mapping[str, Column], count: int) -> bool:
    """Return whether pandas wrote a column as an index; in CSV its name is empty, and it is the first column."""
    names, values = list(table), table[name].values
    if name.startswith(_INDEX):
        return True
    if name != names[0] or name not in _NAMELESS or names[1:2] in ([], ["1"]):  # a file without a header has "1"
        return False
    numbers = np.arange(len(values))
    return np.array_equal(values, np.where(numbers < count, numbers, numbers - count))
