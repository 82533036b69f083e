"""Sequences of names: texts, or lists of words or events. Each name is a symbol."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nounroll.data.classes import by_size
from nounroll.data.ragged import NONE

_NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?")


def has_names(values: Any) -> bool:
    """Return whether sequences hold names: the first value that is not None is a text."""
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__len__") or hasattr(values, "columns"):
        return False
    sequences = map(_steps, values)
    steps = (step for one in sequences for step in (one if isinstance(one, list | tuple | np.ndarray) else [one]))
    return isinstance(next((step for step in steps if step is not None), None), str)


def names_of(name: str, values: Any, *, gaps: bool = False) -> list[str]:
    """Return the sorted names that occur: numbers by value, then words.

    Args:
        name: the argument's name in errors.
        values: sequences, each a text, whose characters are the names, or a list or a column of names.
        gaps: allow None, a step without a name.

    Raises:
        ValueError: a sequence is empty or holds something else; or all names are numbers, and some are not whole.
    """
    found = {each for i, one in enumerate(values) for each in _split(f"{name}[{i}]", one, gaps)} - {None}
    names = sorted((str(one) for one in found), key=by_size)
    if all(map(_NUMBER.fullmatch, names)) and not all(one.lstrip("+-").isdigit() for one in names):
        number = next(one for one in names if not one.lstrip("+-").isdigit())
        raise ValueError(f"{name} holds numbers as text, such as {number!r}; convert them, or they would be symbols")
    return names


def numbered(name: str, values: Any, names: Sequence[str], *, gaps: bool = False) -> list[np.ndarray]:
    """Convert each sequence of names to the places of its names in ``names``; None becomes -100.

    Raises:
        ValueError: a sequence is empty, or holds something that is not among ``names``.
    """
    places: dict[str | None, int] = {one: place for place, one in enumerate(names)}
    if gaps:
        places[None] = NONE
    found = []
    for i, one in enumerate(values):
        each = _split(f"{name}[{i}]", one, gaps)
        for j, word in enumerate(each):
            if word not in places:
                shown = ", ".join(map(repr, names[:5])) + (" ..." if len(names) > 5 else "")
                raise ValueError(f"{name}[{i}][{j}] is {word!r}, a name that is not known; known are {shown}")
        found.append(np.array([places[word] for word in each]))
    return found


def encoded(text: str, names: Sequence[str]) -> Tensor:
    """Convert a prompt to symbols: its characters if every name is one character, otherwise its words."""
    words = list(text) if _letters(names) and (" " in names or " " not in text) else text.split()
    unknown = [word for word in words if word not in names]
    if unknown:
        raise ValueError(f"prompt has {unknown[0]!r}; the task has {', '.join(names[:20])}")
    return torch.tensor([names.index(word) for word in words], dtype=torch.int64)


def decoded(symbols: Tensor, names: Sequence[str]) -> str:
    """Convert symbols to a text that ``encoded`` reads."""
    return ("" if _letters(names) else " ").join(names[int(one)] for one in symbols)


def _letters(names: Sequence[str]) -> bool:
    return all(len(name) == 1 for name in names)


def _steps(one: Any) -> Any:
    """Return a column of pandas as an array with None for missing values, and another sequence unchanged."""
    if hasattr(one, "notna") and getattr(one, "ndim", 0) == 1:
        return np.array(one.astype(object).where(one.notna(), None), dtype=object)
    return one


def _split(name: str, one: Any, gaps: bool) -> list[str | None]:
    """Return the names of a sequence."""
    values = _steps(one)
    values = values.tolist() if isinstance(values, np.ndarray) else values
    if not isinstance(values, str | list | tuple):
        raise ValueError(
            f"{name} is a {type(one).__name__}; other sequences hold names: give a text or a list of names"
        )
    if not len(values):
        raise ValueError(f"{name} is empty; it must hold at least one name")
    for j, each in enumerate(values):
        if not (isinstance(each, str) or (gaps and each is None)):
            raise ValueError(f"{name}[{j}] is {each!r}; other steps hold names, and this one must too")
    return list(values)
