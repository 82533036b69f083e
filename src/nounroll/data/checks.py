"""Checks shared by the tasks: one-line errors with the setting or the file, the value and the allowed values."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from nounroll.core.ranges import within
from nounroll.data.on_disk import Elements

_BLOCK = 1 << 22  # elements of a block, so that a file is never loaded whole


def whole_number(setting: str, value: object, low: int, high: int | None = None) -> None:
    """Raise ValueError unless ``value`` is an int in ``low .. high`` (without upper bound if ``high`` is None)."""
    bounds = f"at least {low}" if high is None else f"between {low} and {high}"
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise ValueError(f"{setting} is {value!r}; it must be a whole number, {bounds}")
    if value < low or (high is not None and value > high):
        raise ValueError(f"{setting} is {value}; it must be {bounds}")


def flag(setting: str, value: object) -> None:
    """Raise ValueError unless ``value`` is a bool."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{setting} is {value!r}; it must be true or false")


def number(setting: str, value: object) -> float:
    """Return the value as a float; raise ValueError unless it is an int or a float."""
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        raise ValueError(f"{setting} is {value!r}; it must be a number")
    return value  # type: ignore[return-value]  # an int stays one


def fraction(setting: str, value: object) -> None:
    """Raise ValueError unless ``value`` is a number in 0 .. 1."""
    within(setting, number(setting, value), 0, 1)


def long_enough(task: object, length: int, least: int) -> None:
    """Raise ValueError if a synthetic task has no sequences of this length."""
    if length < least:
        raise ValueError(f"length is {length}; {type(task).__name__} needs at least {least}")


def largest_symbol(tokens: Elements) -> int:
    """Find the largest element, block by block."""
    return max(int(block.max()) for _, block in blocks(tokens))


def within_space(name: str, tokens: Elements, symbols: int, padding: tuple[int, ...] = ()) -> None:
    """Raise ValueError, naming the first bad position and its value, unless all tokens are ``0 .. symbols - 1``.

    Values of ``padding`` are also allowed.
    """
    bounds = np.iinfo(tokens.dtype)
    if bounds.min >= 0 and bounds.max < symbols:
        return
    for start, block in blocks(tokens):
        if block.min() >= 0 and block.max() < symbols:
            continue
        bad = ((block < 0) | (block >= symbols)) & ~np.isin(block, padding)
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            where = (start + first[0], *first[1:])
            place = f"position {where[0]}" if len(where) == 1 else f"position {where}"
            raise ValueError(f"{name} holds {int(block[first])} at {place}; the tokens must be 0..{symbols - 1}")


def row_ends(name: str, rows: np.ndarray, padding: tuple[int, ...]) -> Int[np.ndarray, "N"] | None:
    """Count the elements of each row before its padding; None if no row has padding.

    Raises:
        ValueError: a row is only padding, or has tokens after padding.
    """
    if rows.dtype.kind != "i":
        return None
    ends = np.full(len(rows), rows.shape[1])
    for start, block in blocks(rows):
        if block.min() >= 0:
            continue
        padded = np.isin(block, padding)
        found = np.where(padded.any(1), padded.argmax(1), block.shape[1])
        wrong = ~padded & (np.arange(block.shape[1]) >= found[:, None])
        if wrong.any() or not found.all():
            row = int(np.argmax(wrong.any(1) | (found == 0)))
            raise ValueError(
                f"{name} holds {int(block[row, found[row]])} at position {(start + row, int(found[row]))}, which is"
                " padding; a row must begin with a token, and its padding must be at the end"
            )
        ends[start : start + len(block)] = found
    return None if (ends == rows.shape[1]).all() else ends


def blocks(tokens: Elements) -> Iterator[tuple[int, np.ndarray]]:
    """Yield an array in blocks, each with the index of its first element."""
    step = max(1, _BLOCK * len(tokens) // max(1, tokens.size))
    for start in range(0, len(tokens), step):
        yield start, np.asarray(tokens[start : start + step])
