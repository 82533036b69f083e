"""Conversion of arrays and data frames to lists of sequences."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from nounroll.core.batch import Space
from nounroll.data.numeric import as_numbers
from nounroll.data.ragged import common_columns

_FORMS = "a list of (T_i, d) arrays, an array (n, T) or (n, T, d), or a data frame"


def as_sequences(name: str, values: Any, space: Space | None = None) -> list[np.ndarray]:
    """Convert sequences to one array each: (T_i,) symbols or (T_i, d) real numbers.

    A data frame with a two-level index has one sequence for each value of the first level, one row for each step, and
    one column for each coordinate. Any other frame has one sequence in each row. Whole numbers are symbols, unless
    ``space`` is a space of numbers.

    Raises:
        ValueError: there are no sequences, or a sequence is not an array of numbers with one or two axes, is empty, or
            is not finite; a row of a frame names no sequence.
    """
    real = space is not None and space.dtype.is_floating_point
    found = [_one(f"{name}[{i}]", one, real) for i, one in enumerate(_split(name, values))]
    if not found:
        raise ValueError(f"{name} is empty; it must hold at least one sequence")
    for i, one in enumerate(found):
        if _kind(one) != _kind(found[0]):
            raise ValueError(f"{name}[{i}] holds {_kind(one)}; {name}[0] holds {_kind(found[0])}; they must agree")
    return found


def columns_of(name: str, values: Any) -> list[str]:
    """Return the names of the numbers of a step, from the data frames; none if there are no such frames.

    Raises:
        ValueError: frames of a list have different columns.
    """
    if hasattr(values, "columns"):
        index = getattr(values, "index", None)
        return list(map(str, values.columns)) if getattr(index, "nlevels", 1) == 2 else []
    return list(common_columns(name, values)) if isinstance(values, list | tuple) and values else []


def listed(values: Any) -> Any:
    """Return a column of a data frame as a list, and any other value unchanged."""
    return values.tolist() if hasattr(values, "index") and getattr(values, "ndim", 0) == 1 else values


def _split(name: str, values: Any) -> Iterable[Any]:
    if hasattr(values, "columns") and hasattr(values, "index"):
        if getattr(values.index, "nlevels", 1) == 2:
            missing = values.index.get_level_values(0).isna()
            if missing.any():
                raise ValueError(
                    f"{name}: row {int(missing.argmax())} has no value in the first level of the index, which"
                    " identifies the sequence; give it one, or leave the row out"
                )
            return [part.to_numpy() for _, part in values.groupby(level=0, sort=False)]
        return list(values.to_numpy())
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__len__"):
        raise ValueError(f"{name} is a {type(values).__name__}; it must be {_FORMS}")
    if hasattr(values, "ndim") and values.ndim not in (1, 2, 3):
        raise ValueError(f"{name} has shape {tuple(values.shape)}; it must be {_FORMS}")
    return values


def _one(name: str, values: Any, real: bool) -> np.ndarray:
    array = as_numbers(name, values)
    if array.dtype.kind != "f" and (real or array.ndim == 2):
        array = array.astype(np.float32)  # several whole numbers per step are coordinates
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"{name} has shape {array.shape}; it must be (T,) or (T, d), with at least one number")
    if array.dtype.kind == "f" and np.isnan(array).any():
        place = ", ".join(map(str, np.argwhere(np.isnan(array))[0].tolist()))
        raise ValueError(
            f"{name}[{place}] is nan; fill missing values in, or train by nounroll.Sequences, which reads them"
        )
    array = array[:, None] if array.dtype.kind == "f" and array.ndim == 1 else array
    native = np.float64 if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    return np.ascontiguousarray(array, dtype=native)  # PyTorch reads no reversed arrays


def _kind(array: np.ndarray) -> str:
    return "symbols" if array.ndim == 1 else f"{array.shape[1]} numbers a step"


def check_like(name: str, arrays: list[np.ndarray], space: Space) -> None:
    """Refuse sequences of another kind than in ``fit``.

    Raises:
        ValueError: the kind differs.
    """
    first = arrays[0]
    if space.symbols is None:
        if first.shape[1:] != space.event_shape:
            numbers = math.prod(space.event_shape)
            raise ValueError(f"{name} holds {_kind(first)}; the estimator was fitted on {numbers} numbers a step")
        for i, one in enumerate(arrays):
            space.check(f"{name}[{i}]", torch.tensor(one, dtype=space.dtype))
        return
    if first.ndim != 1:
        raise ValueError(f"{name} holds {_kind(first)}; the estimator was fitted on symbols")
    for i, one in enumerate(arrays):
        if int(one.min()) < 0 or int(one.max()) >= space.symbols:
            raise ValueError(f"{name}[{i}] holds a symbol that was not in training; it may be 0 to {space.symbols - 1}")
