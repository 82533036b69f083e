"""Ragged arrays of users, concatenated into one array. Every fault is a one-line ValueError."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from nounroll.core.notices import notice
from nounroll.data.numeric import as_numbers

MOST_SYMBOLS = 1_000_000
NONE = -100  # PyTorch's losses ignore this target
_FINEST = 1e-5  # relative spread of 100 times the rounding error of single precision
Gaps = Literal["none", "steps", "values"]
_FORMS = {"T": "a list of arrays, or an array of (N, T, ...)", "N": "an array or a list of (N,) or (N, d)"}


@dataclass(frozen=True, eq=False)
class Ragged:
    """N concatenated sequences: sequence i is ``values[starts[i] : starts[i + 1]]``.

    Attributes:
        values: (S,) int64 symbols or (S, d) float32 numbers.
        starts: (N + 1,) int64.
        columns: names of the d coordinates, from a data frame; names of the symbols, from a table.
    """

    values: Shaped[Tensor, "S *x"]
    starts: Int[Tensor, "N1"]
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Int[Tensor, "N"]:
        return self.starts.diff()

    @property
    def kind(self) -> str:
        return kind(self.values)

    def split(self) -> list[Tensor]:
        """Return a view of each sequence."""
        return list(self.values.split(self.lengths.tolist()))

    def column(self, j: int) -> str:
        """Return the name of coordinate ``j`` for errors."""
        return repr(self.columns[j]) if self.columns else str(j)


def kind(array: Tensor) -> str:
    return f"real vectors of width {array.shape[1]}" if array.is_floating_point() else "whole numbers"


def read(name: str, values: Any, *, gaps: Gaps = "none", real: bool = False) -> Ragged:
    """Read N sequences of the same kind and width.

    Args:
        name: the argument's name in errors.
        values: a list of arrays, tensors or data frames; or one array (N, T, ...).
        gaps: "none" allows no missing values; "steps" whole missing steps (-100, or a vector of nan); "values" any nan.
        real: read whole numbers as numbers, not as symbols.
    """
    if isinstance(values, Ragged):
        return values
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__len__") or getattr(values, "ndim", 1) == 0:
        raise ValueError(f"{name} is a {type(values).__name__}; it must be {_FORMS['T']}")
    if hasattr(values, "columns"):
        raise ValueError(
            f"{name} is one data frame; it must be a list of frames, such as [f for _, f in df.groupby(...)]"
        )
    if not len(values):
        raise ValueError(f"{name} is empty; it must hold at least one sequence for each part")
    columns = common_columns(name, values)
    arrays = [read_array(f"{name}[{i}]", one, "T", gaps=gaps, real=real) for i, one in enumerate(values)]
    for i, one in enumerate(arrays):
        if kind(one) != kind(arrays[0]):
            raise ValueError(f"{name}[{i}] holds {kind(one)}; {name}[0] holds {kind(arrays[0])}; they must agree")
    found = Ragged(torch.cat(arrays), ends([len(one) for one in arrays]), columns)
    _tell_coarse(name, values, found)
    return found


def _tell_coarse(name: str, values: Any, found: Ragged) -> None:
    """Give a notice of columns whose numbers single precision hardly distinguishes, such as seconds since 1970."""
    if not found.values.is_floating_point():
        return
    largest, spread = _largest_and_spread([found.values.numpy()])
    if not (spread <= 2 * _FINEST * largest).any():  # rounding may have changed it
        return
    largest, spread = _largest_and_spread([_numbers(name, one).reshape(len(one), -1) for one in values])
    for j in np.flatnonzero((spread > 0) & (spread < _FINEST * largest)):
        notice(
            f"{name}: column {found.column(int(j))} is near {largest[j]:.6g} and varies by {spread[j]:.2g}, which"
            " single precision hardly distinguishes; subtract a constant from it"
        )


def _largest_and_spread(arrays: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest absolute value of each column, and the difference of its largest and its least value."""
    low = np.fmin.reduce([np.fmin.reduce(one, axis=0) for one in arrays]).astype(np.float64)
    high = np.fmax.reduce([np.fmax.reduce(one, axis=0) for one in arrays]).astype(np.float64)
    return np.fmax(np.abs(low), np.abs(high)), high - low


def ends(lengths: Any) -> Int[Tensor, "N1"]:
    """Return ``Ragged.starts`` for sequences of these lengths."""
    return torch.cat([torch.zeros(1, dtype=torch.int64), torch.as_tensor(lengths, dtype=torch.int64).cumsum(0)])


def common_columns(name: str, values: Any) -> tuple[str, ...]:
    """Return the common columns of data frames; none if the sequences are of another form.

    Raises:
        ValueError: the columns of a frame differ from those of the first one.
    """
    one = next(iter(values))  # a pandas series has its own idea of values[0]
    first = tuple(map(str, one.columns)) if hasattr(one, "columns") else ()
    for i, one in enumerate(values):
        found = tuple(map(str, one.columns)) if hasattr(one, "columns") else ()
        if found != first:
            raise ValueError(
                f"{name}[{i}] has the columns {list(found)}; {name}[0] has {list(first)}, and all must have the same"
            )
    return first


def read_array(
    name: str, values: Any, axis: Literal["T", "N"], *, gaps: Gaps = "none", real: bool = False
) -> Shaped[Tensor, "T *x"]:
    """Copy the values to (T,) int64 or (T, d) float32.

    Raises:
        ValueError: the values have another form, or a value is not finite or no symbol. ``axis`` is the name of T in
            errors.
    """
    found = _numbers(name, values, NONE if gaps == "steps" and not real else None)
    real = real or hasattr(values, "columns") or found.dtype.kind == "f"
    if found.ndim in (1, 2, 3) and not found.size:
        raise ValueError(f"{name} is empty, of shape {found.shape}; it must hold at least one number")
    if found.ndim not in ((1, 2) if real else (1,)):
        raise ValueError(
            f"{name} is {found.dtype} of shape {found.shape}; it must be ({axis},) for whole numbers,"
            f" ({axis},) or ({axis}, d) for real ones; make measurements floats"
        )
    if real:
        with np.errstate(over="ignore"):
            vectors = np.array(found.reshape(len(found), -1), dtype=np.float32)
        bad = ~np.isfinite(vectors)
        if gaps == "steps":
            bad[np.isnan(vectors).all(1)] = False
        elif gaps == "values":
            bad &= ~np.isnan(vectors)
        allowed = "real numbers must be finite as float32"
        allowed += "; in a step without target all of them are nan" if gaps == "steps" else ""
        _refuse(name, found, bad.reshape(found.shape), allowed)
        return torch.from_numpy(vectors)
    allowed = f"whole numbers are symbols 0 to {MOST_SYMBOLS - 1:,} (floats are real numbers)"
    bad = (found < 0) | (found >= MOST_SYMBOLS)
    _refuse(name, found, bad & (found != NONE) if gaps == "steps" else bad, allowed)
    return torch.from_numpy(np.array(found, dtype=np.int64))


def _numbers(name: str, values: Any, gap: int | None = None) -> np.ndarray:
    if hasattr(values, "columns"):
        return _frame(name, values)
    return as_numbers(name, values, gap)


def _frame(name: str, frame: Any) -> np.ndarray:
    """Convert a data frame to float64, with nan where a value is missing."""
    for place, (column, kind) in enumerate(zip(frame.columns, frame.dtypes, strict=True)):
        if getattr(kind, "kind", "O") not in "biuf" and not _holds_numbers(frame.iloc[:, place]):
            raise ValueError(
                f"{name}: column {str(column)!r} is of type {kind}; it must hold numbers:"
                " use pandas.get_dummies for categories, or task kind table"
            )
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def _holds_numbers(column: Any) -> bool:
    """Return whether a column of objects holds numbers."""
    try:
        return column.dtype == object and as_numbers("column", column).ndim == 1
    except ValueError:
        return False


def _refuse(name: str, values: np.ndarray, bad: np.ndarray, allowed: str) -> None:
    if bad.any():
        where = tuple(np.argwhere(bad)[0].tolist())
        raise ValueError(f"{name}[{', '.join(map(str, where))}] is {values[where]}; {allowed}")
