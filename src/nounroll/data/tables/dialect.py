"""Dialect of a CSV file: delimiter, quotes, decimal sign, encoding and header, guessed from its start."""

import codecs
import csv
import io
import re
from dataclasses import dataclass

from nounroll.data.csv_table import header

_DELIMITERS = (",", ";", "\t", "|")
_ROWS = 200
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_DECIMAL_COMMA = re.compile(
    r"[+-]?(\d+,(\d{1,2}|\d{4,})|0,\d+|\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,}|\d{4,},\d+)", re.ASCII
)
_DECIMAL_POINT = re.compile(
    r"[+-]?(\d*\.(\d{1,2}|\d{4,})|0?\.\d+|\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,}|\d{4,}\.\d+)", re.ASCII
)
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)


@dataclass(frozen=True)
class Dialect:
    """Rules for splitting rows into cells.

    Attributes:
        names: names of the columns.
        skipped: number of rows before the first data row.
    """

    delimiter: str
    quote: str
    decimal: str
    encoding: str
    names: list[str]
    skipped: int


def sniffed(name: str, start: bytes, delimiter: str | None, decimal: str | None) -> Dialect:
    """Guess the dialect of a file.

    Args:
        name: the file's name in errors.
        start: its first bytes, decompressed.
        delimiter, decimal: the user's settings, or None.

    Raises:
        ValueError: the file is empty or ambiguous.
    """
    for option, value, allowed in (("delimiter", delimiter, None), ("decimal", decimal, (".", ","))):
        if value is not None and (len(value) != 1 or (allowed and value not in allowed)):
            raise ValueError(f"table.{option} is {value!r}; it must be {' or '.join(allowed or ()) or 'one character'}")
    encoding = next((e for mark, e in _MARKS.items() if start.startswith(mark)), "utf-8")
    text = start.removeprefix(codecs.BOM_UTF8).decode(encoding, errors="replace")
    if encoding == "utf-8" and "\0" in text:
        raise ValueError(f"{name} is not text in UTF-8 (a zero byte, as in UTF-16 or binary files); convert it")
    whole = len(start) < 1 << 17
    lines = text.splitlines()[: None if whole else -1][: _ROWS + 1]
    if not any(line.strip() for line in lines):
        raise ValueError(f"{name} is empty; it must hold a header and rows below it")
    quote = "'" if re.search(r"(^|[,;\t|])'[^']*'([,;\t|]|$)", lines[0]) and '"' not in lines[0] else '"'
    delimiter = delimiter or _delimiter(lines, quote)
    rows = [row for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter, quotechar=quote) if row]
    cells = [[cell.strip() for cell in row] for row in rows]
    decimal = decimal or _decimal(name, cells)
    plain = [[_plain(cell, decimal) for cell in row] for row in cells[:2]]
    names, has_header = header(name, plain[0], plain[1] if len(plain) > 1 else [], None, None)
    if has_header and decimal == ",":  # names are not changed
        names = header(name, cells[0], plain[1] if len(plain) > 1 else [], None, None)[0]
    blank = next(i for i, line in enumerate(lines) if line.strip())
    return Dialect(delimiter, quote, decimal, encoding, names, blank + has_header)


def _delimiter(lines: list[str], quote: str) -> str:
    """Find the delimiter that splits most rows into the same number (two or more) of cells; a comma if none does."""
    best = (0.0, 1, ",")
    for delimiter in _DELIMITERS:
        counts = [len(row) for row in csv.reader(lines, delimiter=delimiter, quotechar=quote) if row]
        width = counts[0] if counts else 1
        if width > 1:
            best = max(best, (sum(n == width for n in counts) / len(counts), width, delimiter))
    return best[2]


def _decimal(name: str, rows: list[list[str]]) -> str:
    """Find the decimal sign from unambiguous cells."""
    cells = [cell for row in rows[1:] for cell in row]
    commas, points = (any(map(pattern.fullmatch, cells)) for pattern in (_DECIMAL_COMMA, _DECIMAL_POINT))
    if commas and not points:
        return ","
    doubtful = next((cell for cell in cells if _EITHER.fullmatch(cell)), None)
    if doubtful is not None and commas == points:
        raise ValueError(
            f"{name} holds {doubtful!r}, which may be {doubtful.replace(',', '')} or {doubtful.replace(',', '.')}; set"
            " table.decimal to ',' or '.'"
        )
    return "."


def _plain(cell: str, decimal: str) -> str:
    return cell.replace(".", "").replace(",", ".") if decimal == "," and re.fullmatch(r"[+-]?[\d.,]+", cell) else cell
