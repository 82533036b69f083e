"""Series: the columns of a CSV file as one real-valued sequence."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from nounroll.batch import Real
from nounroll.data.corpus import Windows, split_tail
from nounroll.data.sources import read_bytes

_SMALLEST, _LARGEST = 1e-18, 1e18  # whose squares single precision holds
_FINEST = 1e-5  # a spread of so much of the values is 100 times the rounding
_Rows = list[tuple[int, list[str]]]  # (line number, cells)


class Series(Windows):
    """Numbers of a CSV file, one time step a row, each row predicting the next.

    ::

        file      temp,wind    inputs    (-1.2, 0.3)  (-0.9, 0.1)  ...
                  39.4,5.1     targets   (-0.9, 0.1)  (-0.5, 0.0)  ...      y_t = x_{t+1}
                  40.1,4.6

    The last 20 % of the rows are held out, half for validation and half for the test. Everything is in the units of
    the file: networks standardise each column by the mean and the standard deviation of the training part.

    Args:
        path: the file, gzipped or not, comma-separated. Its first row is a header when none of its cells is a number
            or when it holds all of ``columns``.
        columns: the names of the columns to read, all when None. Without a header the names are "0", "1", ...

    Attributes:
        columns: the names of the columns read.
        mean, std: (d,) float64, of the training part.
    """

    def __init__(self, *, path: str | Path, columns: list[str] | None = None) -> None:
        name = f"series.path '{path}'"
        names, rows = _read(name, path, columns)
        self.columns = names if columns is None else list(columns)
        unknown = [c for c in self.columns if c not in names]
        if unknown or not self.columns:
            found = unknown[0] if unknown else self.columns
            raise ValueError(f"series.columns is {found!r}; {name} has {', '.join(names)}")
        values = _numbers(name, names, rows, [names.index(c) for c in self.columns])
        train, held_out = split_tail(name, values, 0.2)
        with np.errstate(all="ignore"):
            self.mean, self.std = train.mean(0), train.std(0)
        for j, column in enumerate(self.columns):
            self._check(f"{name}, column {column!r}", j, train, held_out)
        space = Real(len(self.columns), tuple(self.mean.tolist()), tuple(self.std.tolist()))
        super().__init__(train=train.astype(np.float32), held_out=held_out.astype(np.float32), space=space)

    def _check(self, name: str, j: int, train: Float[np.ndarray, "N d"], held_out: Float[np.ndarray, "M d"]) -> None:
        """Raise ValueError unless single precision tells the values of column ``j`` apart."""
        if (train[:, j] == train[0, j]).all():
            raise ValueError(f"{name} is {train[0, j]} throughout; leave it out")
        largest = max(np.abs(train[:, j]).max(), np.abs(held_out[:, j]).max())
        if not (self.std[j] >= _SMALLEST and largest <= _LARGEST):
            raise ValueError(f"{name} is too large or too small to be standardised")
        if self.std[j] < _FINEST * np.abs(train[:, j]).max():
            raise ValueError(
                f"{name} is near {self.mean[j]:.6g} and varies by {self.std[j]:.2g}, which single precision does not"
                " tell apart; subtract a constant from it"
            )

    def speech(self) -> dict[str, Any]:
        return {"columns": self.columns}

    def speak(self, kept: Mapping[str, Any]) -> None:
        self.columns = list(map(str, kept["columns"]))

    def prompt(self) -> Tensor:
        """The mean of each column."""
        return torch.tensor([self.inputs.shift]) if isinstance(self.inputs, Real) else super().prompt()

    def encode(self, text: str) -> Tensor:
        values = super().encode(text)
        self.inputs.check("prompt", values)
        return values

    def decode(self, values: Tensor) -> str:
        return " ".join(",".join(f"{v:.6g}" for v in row) for row in values.tolist())


def _read(name: str, path: str | Path, columns: list[str] | None) -> tuple[list[str], _Rows]:
    """The columns' names and the rows below the header."""
    try:
        reader = csv.reader(io.StringIO(read_bytes("series.path", path).decode("utf-8-sig"), newline=""))
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is not a CSV file in UTF-8 ({error})") from None
    if not rows:
        raise ValueError(f"{name} is empty; it must hold rows of numbers")
    first = rows[0][1]
    if not any(map(_is_number, first)) or (columns and set(columns) <= set(first)):
        return first, rows[1:]
    return [str(i) for i in range(len(first))], rows


def _numbers(name: str, names: list[str], rows: _Rows, chosen: list[int]) -> Float64[np.ndarray, "N d"]:
    """(N, d) float64, every one of them finite."""
    values = np.empty((len(rows), len(chosen)))
    for i, (line, cells) in enumerate(rows):
        if len(cells) != len(names):
            raise ValueError(f"{name}, line {line} has {len(cells)} cells; the first row has {len(names)}")
        for j, column in enumerate(chosen):
            if not (_is_number(cells[column]) and math.isfinite(float(cells[column]))):
                raise ValueError(
                    f"{name}, line {line}, column {names[column]!r} is {cells[column]!r}; it must be a finite number"
                )
            values[i, j] = float(cells[column])
    return values


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
