"""Reader of table files to Arrow tables with inferred column types."""

import codecs
import io
import json
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from nounroll.data.encoding import first_fault, kind_of
from nounroll.data.files import DAMAGED, MOST, NotText, existing, opened, read_bytes, regular, unpacker, unreadable
from nounroll.data.sources import optional
from nounroll.data.tables.dialect import Dialect, sniffed
from nounroll.data.tables.ts import read_ts

_PACKINGS = (".gz", ".bz2", ".xz", ".zip")
_GAPS = (
    *("", "NA", "N/A", "na", "n/a", "#N/A", "nan", "NaN", "NAN", "null", "NULL", "Null", "None", "none", "NONE"),
    *("nil", "missing", "-", "--", "?", ".", "..", "...", "*"),
)
_MOST = 4 * MOST  # largest decompressed size of a table in bytes: 1 GiB
_WHAT = "tables"
_RELEASE = 5.0  # most seconds to wait for the threads of pyarrow


def read_table(
    setting: str, path: str | Path, delimiter: str | None = None, decimal: str | None = None
) -> tuple[Any, str]:
    """Read a file to a table of pyarrow in the file's order, and return the decimal sign of its text.

    Args:
        setting: the setting's name in errors.
        path: CSV (also .tsv, .txt), Parquet, Arrow or Feather, JSON lines or a JSON list, or aeon's .ts; text formats
            may be compressed.
        delimiter, decimal: for CSV; guessed when None.

    Raises:
        ValueError: the file is missing, of another format, or damaged.
    """
    optional("pandas", f"{setting} '{path}'", _WHAT)
    pa = optional("pyarrow", f"{setting} '{path}'", _WHAT)
    name = regular(setting, existing(setting, path)).name.lower()
    for packing in _PACKINGS:
        name = name.removesuffix(packing)
    reader = _READERS.get(Path(name).suffix)
    try:
        if reader is not None:
            table, decimal = reader(setting, path), decimal or "."
        else:
            table, decimal = _csv(setting, path, delimiter, decimal)
    except (pa.ArrowException, *DAMAGED, UnicodeDecodeError) as error:
        raise unreadable(setting, path, error) from None
    if not table.num_rows or not table.num_columns:
        raise ValueError(f"{setting} '{path}' has no rows; it must hold a header and rows below it")
    return table, decimal


def from_frame(frame: Any) -> Any:
    """Convert a data frame to the table that its file would give; the index is not a column.

    Args:
        frame: of pandas; or a table of pyarrow, or what has a method ``to_arrow``.

    Raises:
        ValueError: there are no rows, a column holds values of several kinds, such as dates of several time zones, or
            two columns have one name.
    """
    pa = optional("pyarrow", "a data frame", _WHAT)
    table = frame.to_arrow() if hasattr(frame, "to_arrow") else frame
    if not isinstance(table, pa.Table):
        table = _of_pandas(frame)
    if not table.num_rows:
        raise ValueError("frame has no rows; it must hold one row or more")
    return table


def _of_pandas(frame: Any) -> Any:
    pa = optional("pyarrow", "a data frame", _WHAT)
    pd = optional("pandas", "a data frame", _WHAT)
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(f"frame is a {type(frame).__name__}; it must be a data frame, such as pd.DataFrame(...)")
    twice = [name for name, count in Counter(map(str, frame.columns)).items() if count > 1]
    if twice:
        raise ValueError(f"frame: column {twice[0]!r} is there twice; give each column its own name")
    _refuse_mixed_zones(frame)
    for column, kind in frame.dtypes.items():  # types of pandas that Arrow has not
        if isinstance(kind, pd.CategoricalDtype) and isinstance(kind.categories.dtype, pd.IntervalDtype):
            frame = frame.assign(**{column: frame[column].cat.rename_categories(str)})
        elif isinstance(kind, pd.PeriodDtype):
            frame = frame.assign(**{column: frame[column].dt.to_timestamp()})
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ValueError(
            f"frame: a column holds values of several kinds ({' '.join(str(error).split())[:200]})"
        ) from None


def _refuse_mixed_zones(frame: Any) -> None:
    for column in frame.columns:
        values = frame[column]
        if values.dtype != object:
            continue
        zones = [getattr(value, "tzinfo", "") for value in values]
        other = [i for i, zone in enumerate(zones) if zone != "" and str(zone) != str(zones[0])]
        if other and zones[0] != "":
            raise ValueError(
                f"frame: column {str(column)!r}, row {other[0] + 1} is of time zone {zones[other[0]]}, and row 1 of"
                f" {zones[0]}; use pd.to_datetime(..., utc=True)"
            )


class _Stream(io.RawIOBase):
    """Stream of a file's decompressed bytes, with a limit on their number; with ``text`` they must be UTF-8."""

    def __init__(self, setting: str, path: object, file: BinaryIO, text: bool = True) -> None:
        self._setting, self._path, self._stream = setting, path, unpacker(setting, path, file)
        self._decoder, self._read = codecs.getincrementaldecoder("utf-8")() if text else None, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._stream.read(len(buffer))
        if self._decoder is not None:
            place, what = first_fault(self._decoder, piece)
            if what:
                raise NotText(self._setting, self._path, f"{what} at position {self._read + place}")
        self._read += len(piece)
        if self._read > _MOST:
            raise ValueError(
                f"{self._setting} is '{self._path}'; it holds more than the {_MOST >> 20} MiB that are read into"
                " memory; give a smaller file"
            )
        buffer[: len(piece)] = piece
        return len(piece)


def _read(reader: Callable[..., Any], source: Any, **options: Any) -> Any:
    """Let pyarrow read a stream, and wait until its threads have let go of it.

    They do so a little after the table is there. If Python ends before, the process aborts.
    """
    stream, released = io.BufferedReader(source, 1 << 20), threading.Event()
    weakref.finalize(stream, released.set)
    try:
        return reader(stream, **options)
    except Exception as error:
        error.__traceback__ = None  # its frames hold the stream
        raise
    finally:
        del stream
        released.wait(_RELEASE)


def _csv(setting: str, path: str | Path, delimiter: str | None, decimal: str | None) -> tuple[Any, str]:
    name = f"{setting} '{path}'"
    with opened(setting, path) as file:
        start = io.BufferedReader(_Stream(setting, path, file, text=False)).read(1 << 17)
        if kind := kind_of(start):
            raise ValueError(
                f"{setting} is '{path}'; it is {kind}, not text; give CSV, Parquet, Arrow, JSON lines or .ts"
            )
    dialect = sniffed(name, start, delimiter, decimal)
    with opened(setting, path) as file:
        table = _parsed(name, _Stream(setting, path, file, dialect.encoding == "utf-8"), dialect, threads=True)
    return _trimmed(_located(setting, path, dialect) if table is None else table), dialect.decimal


def _trimmed(table: Any) -> Any:
    """Remove spaces around the cells of text, as around names of columns; a cell of spaces is missing."""
    pa, pc = optional("pyarrow", "a table", _WHAT), optional("pyarrow.compute", "a table", _WHAT)
    for place, name in enumerate(table.column_names):
        column = table.column(place)
        if pa.types.is_string(column.type) and pc.any(pc.match_substring_regex(column, r"^\s|\s$")).as_py():
            cells = pc.utf8_trim_whitespace(column)
            gaps = pc.is_in(cells, value_set=pa.array(_GAPS))
            table = table.set_column(place, name, pc.if_else(gaps, pa.scalar(None, cells.type), cells))
    return table


def _located(setting: str, path: str | Path, dialect: Dialect) -> Any:
    """Read again on one thread, so that the error names the faulty row."""
    with opened(setting, path) as file:
        stream = _Stream(setting, path, file, dialect.encoding == "utf-8")
        return _parsed(f"{setting} '{path}'", stream, dialect, threads=False)


def _parsed(name: str, stream: Any, dialect: Dialect, *, threads: bool) -> Any:
    """Parse the rows; None if several threads read and there is a fault, because threads do not know its row."""
    csv = optional("pyarrow.csv", name, _WHAT)
    pa = optional("pyarrow", name, _WHAT)
    wrong: list[Any] = []

    def note(row: Any) -> str:
        wrong.append(row)
        return "error"

    try:
        return _read(
            csv.read_csv,
            stream,
            read_options=csv.ReadOptions(
                use_threads=threads,
                column_names=dialect.names,
                skip_rows=dialect.skipped,
                encoding=dialect.encoding,
            ),
            parse_options=csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote,
                newlines_in_values=True,
                ignore_empty_lines=len(dialect.names) > 1,
                invalid_row_handler=None if threads else note,  # threads would hold it for longer than the stream
            ),
            convert_options=csv.ConvertOptions(
                null_values=list(_GAPS),
                strings_can_be_null=True,
                decimal_point=dialect.decimal,
                true_values=["true", "True", "TRUE"],
                false_values=["false", "False", "FALSE"],
            ),
        )
    except pa.ArrowInvalid as error:
        if threads:
            return None
        if not wrong:
            raise ValueError(f"{name} cannot be read: {' '.join(str(error).split())[:200]}") from None
        row = wrong[0]
        where = "a row" if row.number is None else f"line {row.number}"
        raise ValueError(
            f"{name}, {where} has {row.actual_columns} cells, and there are {row.expected_columns} columns: correct"
            f" the row, or set delimiter ({dialect.delimiter!r} was guessed)"
        ) from None


def _parquet(setting: str, path: str | Path) -> Any:
    parquet = optional("pyarrow.parquet", f"{setting} '{path}'", _WHAT)
    with opened(setting, path) as file:
        return _read(parquet.read_table, file)


def _arrow(setting: str, path: str | Path) -> Any:
    pa = optional("pyarrow", f"{setting} '{path}'", _WHAT)
    with opened(setting, path) as file:
        start = file.read(6)
        file.seek(0)
        opener = pa.ipc.open_file if start == b"ARROW1" else pa.ipc.open_stream
        return opener(file).read_all()


def _json_lines(setting: str, path: str | Path) -> Any:
    reader = optional("pyarrow.json", f"{setting} '{path}'", _WHAT)
    with opened(setting, path) as file:
        return _read(reader.read_json, _Stream(setting, path, file))


def _json(setting: str, path: str | Path) -> Any:
    """Read a list of objects, or JSON lines, which often have the same extension."""
    pa = optional("pyarrow", f"{setting} '{path}'", _WHAT)
    content = read_bytes(setting, path)
    if not content.lstrip().startswith(b"["):
        return _json_lines(setting, path)
    try:
        rows = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise unreadable(setting, path, error) from None
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{setting} is '{path}'; it must hold a list of objects, one a row")
    return pa.Table.from_pylist(rows)


_READERS: dict[str, Callable[[str, Any], Any]] = {
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".ts": read_ts,
}
