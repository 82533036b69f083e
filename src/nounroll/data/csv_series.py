"""Series: columns of a CSV file as one real-valued sequence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from nounroll.core.batch import Real
from nounroll.core.notices import notice
from nounroll.core.spaces.real import refuse_bits
from nounroll.data.corpus import Windows, split_tail
from nounroll.data.csv_table import read_columns, to_number
from nounroll.data.task import no_numbers

_SMALLEST, _LARGEST = 1e-18, 1e18  # bounds whose squares fit in single precision
_FINEST = 1e-5  # relative spread of 100 times the rounding error


class Series(Windows):
    """Numbers of a CSV file, one time step per row; each row predicts the next.

    ::

        file      temp,wind    inputs    (-1.2, 0.3)  (-0.9, 0.1)  ...
                  39.4,5.1     targets   (-0.9, 0.1)  (-0.5, 0.0)  ...      y_t = x_{t+1}
                  40.1,4.6

    The last 20 % of the rows are held out, half for validation and half for the test. Inputs and outputs are in the
    file's units; networks standardise each column by the mean and the standard deviation of the training part.

    Args:
        path: a comma-separated file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark; it may be compressed by
            gzip, bzip2, xz or zip. The first row is a header if no cell is a number, if a word stands above a number,
            or if it holds all of ``columns``. An ambiguous row is refused.
        columns: names of the columns to read; all when None. Without a header the names are "0", "1", ...
        held_out: another such file with these columns to hold out whole, instead of a part of ``path``.

    Attributes:
        columns: the names of the columns read.
        mean, std: (d,) float64, mean and standard deviation of the training part.
    """

    def __init__(
        self, *, path: str | Path, columns: list[str] | None = None, held_out: str | Path | None = None
    ) -> None:
        name = f"series.path '{path}'"
        self.columns, values = read_columns("series.path", path, columns)
        values, missing = _filled(name, values)
        if held_out is None:
            (train, kept), (gaps, kept_gaps) = (split_tail(name, array, 0.2) for array in (values, missing))
        else:
            train, gaps = values, missing
            kept_name = f"series.held_out '{held_out}'"
            kept, kept_gaps = _filled(kept_name, read_columns("series.held_out", held_out, self.columns)[1])
        _check_gaps(name, gaps, kept_gaps)
        with np.errstate(all="ignore"):
            self.mean, self.std = train[~gaps].mean(0), train[~gaps].std(0)
        refuse_bits(name, torch.from_numpy(train))
        for j, column in enumerate(self.columns):
            self._check(f"{name}, column {column!r}", j, train, kept)
        super().__init__(
            train=train.astype(np.float32),
            held_out=kept.astype(np.float32),
            space=Real(len(self.columns), tuple(self.mean.tolist()), tuple(self.std.tolist())),
            missing=(gaps, kept_gaps) if gaps.any() or kept_gaps.any() else None,
        )

    def _check(self, name: str, j: int, train: Float[np.ndarray, "N d"], held_out: Float[np.ndarray, "M d"]) -> None:
        """Raise ValueError unless single precision can distinguish the values of column ``j``."""
        if (train[:, j] == train[0, j]).all():
            raise ValueError(f"{name} is constant ({train[0, j]}); leave it out")
        largest = max(np.abs(train[:, j]).max(), np.abs(held_out[:, j]).max())
        if not (self.std[j] >= _SMALLEST and largest <= _LARGEST):
            raise ValueError(f"{name} is too large or too small to be standardised")
        if self.std[j] < _FINEST * np.abs(train[:, j]).max():
            raise ValueError(
                f"{name} is near {self.mean[j]:.6g} and varies by {self.std[j]:.2g}, which single precision does not"
                " distinguish; subtract a constant from it"
            )

    def latest(self, count: int, path: str | Path | None = None) -> Float[Tensor, "T d"]:
        """Return the last ``count`` rows, the history of a forecast, from the data or from a newer file.

        Raises:
            ValueError: the file cannot be read, or holds no row.
        """
        if path is None:
            return torch.from_numpy(self._held_out[-count:])
        values, _ = _filled(f"--history '{path}'", read_columns("--history", path, self.columns)[1])
        if not len(values) or np.isnan(values).any():
            raise ValueError(f"history '{path}' has no value; it must hold at least one row of numbers")
        rows = torch.from_numpy(values[-count:].astype(np.float32))
        self.inputs.check(f"--history '{path}'", rows)
        return rows

    def speech(self) -> dict[str, Any]:
        return {"columns": self.columns}

    def speak(self, kept: Mapping[str, Any]) -> None:
        self.columns = list(map(str, kept["columns"]))

    def prompt(self) -> Tensor:
        """Return the mean of each column."""
        shift = getattr(self.inputs, "shift", None)
        return super().prompt() if shift is None else torch.tensor([shift])

    def encode(self, text: str) -> Tensor:
        words = text.replace(",", " ").split()
        try:
            numbers = np.array([to_number(word) for word in words]).reshape(-1, len(self.columns))
        except ValueError:
            raise no_numbers(text, len(self.columns)) from None
        values = torch.from_numpy(numbers.astype(np.float32))
        self.inputs.check("prompt", values)
        return values

    def decode(self, values: Tensor) -> str:
        return " ".join(",".join(f"{v:.6g}" for v in row) for row in values.tolist())


def _filled(name: str, values: Float64[np.ndarray, "N d"]) -> tuple[Float64[np.ndarray, "M d"], Bool[np.ndarray, "M"]]:
    """Fill missing values with the previous value and mark them; rows before the first value are left out."""
    missing = np.asarray(np.isnan(values).any(1))
    if not missing.any() or missing.all():
        return values, missing
    notice(
        f"{name}: {missing.sum()} of {len(values)} values are missing, the first in row {missing.argmax() + 1}; each is"
        " filled with the previous value and not scored"
    )
    first = int(np.argmin(missing))
    values, missing = values[first:], missing[first:]
    return values[np.maximum.accumulate(np.where(missing, 0, np.arange(len(values))))], missing


def _check_gaps(name: str, train: Bool[np.ndarray, "N"], kept: Bool[np.ndarray, "M"]) -> None:
    """Raise ValueError if a part has only missing values."""
    parts = {"training": train, "validation": kept[: len(kept) // 2], "test": kept[len(kept) // 2 :]}
    for part, gaps in parts.items():
        if gaps.all() and len(gaps):
            raise ValueError(f"{name} has no value in its {part} part; fill in what is missing, or leave it out")
