"""Checks shared by the tasks: one-line errors that name the setting or the file, the value and what is allowed."""

from collections.abc import Iterator

import numpy as np

from nounroll.data.on_disk import OnDisk
from nounroll.ranges import within

_BLOCK = 1 << 22  # elements looked at together, so that a file is never loaded whole


def whole_number(setting: str, value: object, low: int, high: int | None = None) -> None:
    """Raise ValueError unless ``value`` is an int of ``low .. high`` (no upper bound when ``high`` is None)."""
    bounds = f"at least {low}" if high is None else f"between {low} and {high}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{setting} is {value!r}; it must be a whole number, {bounds}")
    if value < low or (high is not None and value > high):
        raise ValueError(f"{setting} is {value}; it must be {bounds}")


def flag(setting: str, value: object) -> None:
    """Raise ValueError unless ``value`` is a bool."""
    if not isinstance(value, bool):
        raise ValueError(f"{setting} is {value!r}; it must be true or false")


def number(setting: str, value: object) -> float:
    """The value, or ValueError unless it is an int or a float."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{setting} is {value!r}; it must be a number")
    return value


def fraction(setting: str, value: object) -> None:
    """Raise ValueError unless ``value`` is a number of 0 .. 1."""
    within(setting, number(setting, value), 0, 1)


def long_enough(task: object, length: int, least: int) -> None:
    """Raise ValueError when a made-up task cannot be drawn at this length."""
    if length < least:
        raise ValueError(f"length is {length}; {type(task).__name__} needs at least {least}")


def largest_symbol(tokens: np.ndarray | OnDisk) -> int:
    """The largest element, found block by block."""
    return max(int(block.max()) for _, block in _blocks(tokens))


def within_space(name: str, tokens: np.ndarray | OnDisk, symbols: int) -> None:
    """Raise ValueError, naming the first bad position and its value, unless all tokens are ``0 .. symbols - 1``."""
    bounds = np.iinfo(tokens.dtype)
    if bounds.min >= 0 and bounds.max < symbols:
        return
    for start, block in _blocks(tokens):
        if block.min() < 0 or block.max() >= symbols:
            first = tuple(int(i) for i in np.argwhere((block < 0) | (block >= symbols))[0])
            where = (start + first[0], *first[1:])
            place = f"position {where[0]}" if len(where) == 1 else f"position {where}"
            raise ValueError(f"{name} holds {int(block[first])} at {place}; the tokens must be 0..{symbols - 1}")


def _blocks(tokens: np.ndarray | OnDisk) -> Iterator[tuple[int, np.ndarray]]:
    step = max(1, _BLOCK * len(tokens) // max(1, tokens.size))
    for start in range(0, len(tokens), step):
        yield start, np.asarray(tokens[start : start + step])
