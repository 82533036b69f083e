"""Columns of numbers in a CSV file: every cell is read exactly, or refused with line, column and remedy."""

import csv
import io
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from nounroll.core.notices import notice
from nounroll.data.encoding import read_text
from nounroll.data.files import first_names

_COLUMNS = "series.columns"
Row = tuple[int, list[str]]  # line number, cells

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MISSING = re.compile(r"|na|n/a|#n/a|nan|null|none|nil|missing|[-?.*]+", re.IGNORECASE)
_WHOLE = re.compile(r"\d+", re.ASCII)
_YEARS = (1500, 2200)
_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", re.ASCII)


def read_columns(
    setting: str, path: str | Path, columns: Sequence[str] | None
) -> tuple[list[str], Float64[np.ndarray, "N d"]]:
    """Read the columns' names and their finite numbers; an empty line in a file of one column is nan.

    Args:
        setting: the setting's name in errors.
        path: a comma-separated file, compressed or not, in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.
        columns: names of the columns to read; None for all, but for a first one without a name that counts the rows.
    """
    name = f"{setting} '{path}'"
    rows = _rows(name, read_text(setting, path))
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{name} is empty; it must hold rows of numbers")
    second = next(rows, None)
    names, has_header = header(name, first[1], second[1] if second else [], columns)
    chosen = _places(name, names, columns)
    values = array("d")
    for row in chain([] if has_header else [first], [second] if second else [], rows):
        values.extend(_numbers(name, row, names, chosen))
    table = np.array(values, dtype=np.float64).reshape(-1, len(chosen))
    picked = [names[place] for place in chosen]
    if columns is None:
        _refuse_dates(name, picked, table)
        if has_header and not first[1][0] and len(picked) > 1 and np.array_equal(table[:, 0], np.arange(len(table))):
            notice(f"{name}, column {picked[0]!r} holds the numbers of the rows, as pandas writes them; it is left out")
            picked, table = picked[1:], table[:, 1:]
    return picked, table


def _rows(name: str, text: str) -> Iterator[Row]:
    """Yield the rows from the first to the last non-empty row.

    An empty line between two rows is a missing value in a file of one column, and an error in a file of several. Empty
    lines directly below the first row of several columns are allowed.
    """
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    count, width, empty = 0, 0, list[int]()
    try:
        for cells in reader:
            if not cells:
                empty.append(reader.line_num)
                continue
            if count and width == 1:
                yield from ((line, [""]) for line in empty)
            elif count > 1 and empty:
                raise ValueError(f"{name}, line {empty[0]} is empty; fill in the missing values, or remove the line")
            count, width, empty = count + 1, width or len(cells), []
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise ValueError(
            f"{name}, line {reader.line_num} is not a row of a CSV file ({error}); correct its quotes"
        ) from None


def header(
    name: str, first: list[str], second: list[str], columns: Sequence[str] | None, option: str | None = _COLUMNS
) -> tuple[list[str], bool]:
    """Return the columns' names, and whether the first row holds them; refuse an ambiguous row."""
    numbered = [str(i) for i in range(len(first))]
    if columns and set(columns) <= set(first):
        if all(map(is_number, first)) and set(columns) <= set(numbered) and first != numbered:
            raise ValueError(
                f"{_COLUMNS} is {list(columns)}; {name} has these in its first row, and columns of these"
                " numbers as well; write a first row of words"
            )
        return _unique(name, first, columns), True
    if all(map(is_number, first)):
        if _may_be_names(first, second):
            raise ValueError(
                f"{name} begins with {', '.join(first[:3])}, which may be names or numbers; write a first row of words"
                + (f", or name the columns by {option}" if option else "")
            )
        return numbered, False
    return (_unique(name, first, columns), True) if _is_header(first, second) else (numbered, False)


def _unique(name: str, header: list[str], columns: Sequence[str] | None) -> list[str]:
    """Return the names of a header; missing and repeated names get the number of their column.

    If all columns are read, a notice says so.
    """
    names = [
        (f"{cell}.{place}" if header.count(cell) > 1 else cell) if cell else _numbered(place, header)
        for place, cell in enumerate(header)
    ]
    changed = [f"{cell or 'no name'} is {new}" for cell, new in zip(header, names, strict=True) if cell != new]
    if len(set(names)) < len(names):
        raise ValueError(f"{name} has columns of the same name, {first_names(changed)}; give them different names")
    if changed and columns is None:
        notice(f"{name} has columns with equal or missing names, which are replaced by numbers: {first_names(changed)}")
    return names


def _numbered(place: int, header: list[str]) -> str:
    """Return the name of a column without one; pandas writes a frame of numbered columns with a nameless index."""
    return f"Unnamed: {place}" if str(place) in header else str(place)


def _may_be_names(first: list[str], second: list[str]) -> bool:
    """Return whether numbers may be names: years, or whole numbers counting up by one above other numbers."""
    if not all(_WHOLE.fullmatch(cell) for cell in first) or not all(map(is_number, second)):
        return False
    not_whole = any(not _WHOLE.fullmatch(cell) for cell in second)
    if len(first) == 1:
        return first == ["0"] and not_whole
    years = _YEARS[0] <= int(first[0]) <= _YEARS[1]
    return all(int(b) == int(a) + 1 for a, b in pairwise(first)) and (not_whole or years)


def _is_header(first: list[str], second: list[str]) -> bool:
    """Return whether a row holds names: no cell is a number, or a word stands above a number."""
    if not any(map(is_number, first)):
        return True
    return any(
        not is_number(above) and (is_number(below) or (not re.search(r"\d", above) and re.search(r"\d", below)))
        for above, below in zip(first, second, strict=False)
    )


def _places(name: str, names: list[str], columns: Sequence[str] | None) -> list[int]:
    """Find the columns to read. Each must have a unique name."""
    wanted = names if columns is None else list(columns)
    unknown = [column for column in wanted if column not in names]
    if unknown or not wanted:
        raise ValueError(f"{_COLUMNS} is {unknown[0] if unknown else wanted!r}; {name} has {', '.join(names)}")
    for column in wanted:
        if wanted.count(column) > 1:
            raise ValueError(f"{_COLUMNS} is {wanted}; it names {column!r} twice, name it once")
        if _MISSING.fullmatch(column.rpartition(".")[0] or column):
            raise ValueError(f"{name} has {column!r} for the name of a column; write a first row of names")
    return [names.index(column) for column in wanted]


def _numbers(name: str, row: Row, names: list[str], chosen: list[int]) -> list[float]:
    line, cells = row
    if len(cells) != len(names):
        raise ValueError(
            f"{name}, line {line} has {len(cells)} cells; the first row has {len(names)}. Cells are separated by"
            " commas, and decimals by a point"
        )
    values = []
    for place in chosen:
        cell = cells[place]
        value = float(cell) if is_number(cell) else math.nan
        if not math.isfinite(value) and (cell or len(names) > 1):
            where = f"{name}, line {line}, column {names[place]!r} is {cell[:80]!r}"
            raise ValueError(f"{where}; it must be a finite number{_remedy(cell)}")
        values.append(value)
    return values


def _remedy(cell: str) -> str:
    """Suggest a remedy for a cell that is not a number, if there is one."""
    if _MISSING.fullmatch(cell):
        return ": fill it in, or remove the row"
    if re.fullmatch(r"[^;\t]*\d[^;\t]*([;\t][^;\t]*)+", cell):
        return ": cells are separated by commas"
    if re.fullmatch(r"[+-]?\d{1,3}([ ,'_.\u00a0\u202f]\d{3})+([.,]\d+)?", cell):
        return ", without separators of thousands"
    if re.fullmatch(r"[+-]?\d+,\d*", cell):
        return ", with a point for its decimals"
    return ": leave the column out, if it holds dates or words" if re.search(r"\w", cell) else ""


def _refuse_dates(name: str, names: list[str], table: Float64[np.ndarray, "N d"]) -> None:
    """Refuse columns of dates such as 20200115, which look like numbers."""
    for column, values in zip(names, table.T, strict=True):
        if len(values) > 1 and all(_DATE.fullmatch(f"{value:.17g}") for value in values):
            raise ValueError(
                f"{name}, column {column!r} holds dates such as {values[0]:.0f}; pick the columns to read by {_COLUMNS}"
            )


def is_number(cell: str) -> bool:
    """Return whether a cell is an ASCII decimal number; float() also accepts 2020_01_15 and other scripts' digits."""
    return NUMBER.fullmatch(cell) is not None


def to_number(word: str) -> float:
    """Parse a number that a person typed, including nan and inf.

    Raises:
        ValueError: it is no number, or a number in a form that files may not have.
    """
    value = float(word)
    if math.isfinite(value) and not is_number(word):
        raise ValueError(f"{word!r} is not a decimal number")
    return value
