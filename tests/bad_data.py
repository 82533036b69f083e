"""Data files with one fault each: what is wrong, task and options, files to lay down, what the message has to hold."""

import bz2
import gzip
import io
import lzma
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

NOISE = np.random.default_rng(0).bytes(4096)


class BadData(NamedTuple):
    """A task whose data has to be refused. ``lay`` makes the files in the working folder."""

    fault: str
    kind: str
    options: dict[str, Any]
    lay: Callable[[], object]
    said: str


def bad_data() -> list[BadData]:
    """Every form of file that a task reads, with every fault that we know it can have."""
    return [*_paths(), *_arrays(), *_series(), *_image_tables(), *_idx_files(), *_texts(), *_drawings()]


def good_data() -> list[tuple[str, dict[str, Any], Callable[[], object]]]:
    """The same forms without a fault."""
    return [
        ("array", {"path": "a.npy"}, lambda: np.save("a.npy", TOKENS)),
        ("array", {"path": "a.npy"}, lambda: np.save("a.npy", TOKENS.reshape(40, 10))),
        ("series", {"path": "a.csv"}, _put("a.csv", _csv(_table(200)))),
        ("series", {"path": "a.csv.gz"}, _put("a.csv.gz", gzip.compress(_csv(_table(200))))),
        ("mnist", {"path": "m.csv", "side": 7}, _put("m.csv", _csv(_pixels()))),
        ("mnist", {"path": "idx", "side": 7}, _idx(IDX)),
        ("text", {"path": "a.txt"}, _put("a.txt", b"It was a dark night. " * 60)),
        ("strokes", {"path": "svg"}, _svg(DRAWING)),
    ]


def _put(name: str, content: bytes) -> Callable[[], object]:
    def lay() -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)

    return lay


def _folder(files: dict[str, bytes]) -> Callable[[], object]:
    def lay() -> None:
        for name, content in files.items():
            _put(f"folder/{name}", content)()

    return lay


def _paths() -> Iterator[BadData]:
    """What is wrong with the path, whatever the form."""
    for kind in ("array", "series", "mnist", "text", "strokes"):
        for fault, path, lay in (
            ("a missing file", "none.dat", lambda: None),
            ("a link to nothing", "link.dat", lambda: Path("link.dat").symlink_to("gone")),
            ("a link to itself", "loop.dat", lambda: Path("loop.dat").symlink_to("loop.dat")),
            ("an empty folder", "folder", lambda: Path("folder").mkdir()),
            ("an empty file", "empty.csv", _put("empty.csv", b"")),
            ("a name that is too long", "x" * 300, lambda: None),
            ("below a file", "file.csv/x", _put("file.csv", b"1,2\n")),
            ("a number for a path", 3, lambda: None),
            ("a list for a path", ["a.csv"], lambda: None),
        ):
            yield BadData(
                f"{kind}: {fault}", kind, {"path": path}, lay, f"{kind}.path" if isinstance(path, str) else "path"
            )
        for fault, content in {"noise": NOISE, "a gzip cut short": gzip.compress(NOISE)[:900]}.items():
            name = "folder/a.svg" if kind == "strokes" else "noise.csv"
            path = name.partition("/")[0]
            yield BadData(f"{kind}: {fault}", kind, {"path": path}, _put(name, content), path)


# -- array ----------------------------------------------------------------------------------------

TOKENS = np.arange(400) % 7


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _header(text: str) -> bytes:
    """A .npy file with this for a header, and a little data."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(400)


def _arrays() -> Iterator[BadData]:
    whole, archive = _npy(TOKENS), io.BytesIO()
    np.savez(archive, a=TOKENS)
    files = {
        "objects": _npy(np.array([{"a": 1}] * 9, dtype=object)),
        "three axes": _npy(np.zeros((4, 5, 6), dtype=np.int64)),
        "no axis": _npy(np.array(3)),
        "nothing in it": _npy(np.zeros(0, dtype=np.int64)),
        "no rows": _npy(np.zeros((0, 9), dtype=np.int64)),
        "no columns": _npy(np.zeros((9, 0), dtype=np.int64)),
        "one row": _npy(np.zeros((1, 90), dtype=np.int64)),
        "five tokens": _npy(np.arange(5)),
        "a negative token": _npy(np.where(np.arange(400) == 200, -1, TOKENS)),
        "a token beyond int64": _npy(np.full(400, 2**64 - 1, dtype=np.uint64)),
        "a token of a billion": _npy(np.where(np.arange(400) == 399, 10**9, TOKENS)),
        "an archive": archive.getvalue(),
        "version 9": whole[:6] + b"\x09\x00" + whole[8:],
        "the wrong magic": b"\x92" + whole[1:],
        "a header cut short": whole[:40],
        "data cut short": whole[:-1],
        "no data": whole[:128],
        "a shape of 1e12": _header("{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,)}\n"),
        "a shape of -1": _header("{'descr': '<i8', 'fortran_order': False, 'shape': (-1,)}\n"),
        "a shape of text": _header("{'descr': '<i8', 'fortran_order': False, 'shape': 'x'}\n"),
        "a header that runs code": _header("__import__('os').system('true')\n"),
        "a header without a shape": _header("{'descr': '<i8', 'fortran_order': False}\n"),
        "a header of brackets": _header("(" * 9000 + "\n"),
        "an unknown type": _header("{'descr': '<q99', 'fortran_order': False, 'shape': (9,)}\n"),
    }
    for dtype in ("f2", "f4", "f8", "c8", "?", "U3", "S3", "M8[s]", "m8[s]"):
        files[f"of type {dtype}"] = _npy(np.ones(400).astype(dtype))
    files["a structure"] = _npy(np.zeros(9, dtype=[("a", "i4"), ("b", "i4")]))
    for fault, content in files.items():
        yield BadData(f"array: {fault}", "array", {"path": "a.npy"}, _put("a.npy", content), "a.npy")
    for fault, symbols in {"too few symbols": 6, "no symbols": 0, "symbols in words": "six"}.items():
        options = {"path": "a.npy", "symbols": symbols}
        yield BadData(f"array: {fault}", "array", options, _put("a.npy", whole), "a.npy" if symbols == 6 else "symbols")


# -- series and images in tables ------------------------------------------------------------------


def _table(rows: int = 60) -> list[list[str]]:
    return [["a", "b"], *([f"{i % 7}.5", str(i % 5)] for i in range(rows))]


def _pixels(rows: int = 6) -> list[list[str]]:
    return [[str((i * 31 + j) % 256) for j in range(785)] for i in range(rows)]


def _csv(table: list[list[str]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in table).encode()


def _changed(table: list[list[str]], row: int, column: int, cell: str | None) -> bytes:
    """The table with another cell; without it where that is None."""
    line = table[row]
    return _csv(
        [*table[:row], [*line[:column], *([] if cell is None else [cell]), *line[column + 1 :]], *table[row + 1 :]]
    )


def _series() -> Iterator[BadData]:
    whole = _csv(_table())
    files: dict[str, bytes] = {
        "only a header": _csv(_table(0)),
        "five rows": _csv(_table(5)),
        "a constant column": b"a,b\n" + b"1,2\n2,2\n" * 40,
        "a number too large to square": b"a\n" + b"1e308\n-1e308\n" * 40,
        "UTF-16 without a mark": whole.decode().encode("utf-16-le"),
        "two numbers for a header": b"1990,1991\n" + whole[4:],
        "a date with underscores": b"a,b\n2020_01_15,2\n" + whole[4:],
        "dates of eight digits": b"a,b\n" + b"".join(b"202001%02d,%d\n" % (i % 28 + 1, i) for i in range(40)),
        "thousands": b'a,b\n"1,234",2\n' + whole[4:],
        "a decimal comma": b'a,b\n"1,5",2\n' + whole[4:],
        "an empty line in the middle": b"a,b\n0.5,1\n\n" + whole[4:],
        "a quote in a cell": b'a,b\n"1"2,3\n' + whole[4:],
        "a missing value for a name": b"a,NA\n" + whole[4:],
        "Latin-1": b"a,\xe9\n" + whole[4:],
        "zero bytes": whole[:100] + b"\0" * 9 + whole[100:],
        "semicolons": whole.replace(b",", b";"),
        "an open quote": whole[:100] + b'"' + whole[100:],
        "a cell of 200,000 characters": whole + b"9" * 200_000 + b",1\n",
        "a damaged gzip": bytes(b ^ (i == 60) for i, b in enumerate(gzip.compress(whole))),
        "a gzip of nothing": gzip.compress(b""),
        "a row of commas": whole + b",,,,\n",
    }
    for row in (1, 2, 30, 60):
        for column in (0, 1):
            for cell in ("nan", "inf", "-inf", "1e400", "", "x", "1,2", "0x10", "1 2", None):
                files[f"{cell!r} in row {row}, column {column}"] = _changed(_table(), row, column, cell)
    for fault, content in files.items():
        yield BadData(f"series: {fault}", "series", {"path": "a.csv"}, _put("a.csv", content), "a.csv")
    for columns in (["c"], ["a", "c"], [], "a,b", [1], 3):
        options = {"path": "a.csv", "columns": columns}
        yield BadData(f"series: columns {columns}", "series", options, _put("a.csv", whole), "columns")


def _image_tables() -> Iterator[BadData]:
    files: dict[str, bytes] = {
        "one image": _csv(_pixels(1)),
        "a header": _csv([["pixel"] * 785, *_pixels()]),
        "no label": _csv([row[:-1] for row in _pixels()]),
        "a column too many": _csv([[*row, "1"] for row in _pixels()]),
        "semicolons": _csv(_pixels()).replace(b",", b";"),
        "a gzip cut short": gzip.compress(_csv(_pixels()))[:-200],
    }
    for row in (0, 5):
        for column in (0, 400, 783):
            for cell in ("-1", "256", "nan", "inf", "x", "", None):
                files[f"{cell!r} in row {row}, column {column}"] = _changed(_pixels(), row, column, cell)
    for fault, content in files.items():
        yield BadData(f"mnist: {fault}", "mnist", {"path": "m.csv", "side": 7}, _put("m.csv", content), "m.csv")


IDX = struct.pack(">4B3I", 0, 0, 8, 3, 6, 28, 28) + NOISE * 2
IDX = IDX[: 16 + 6 * 784]


def _idx(content: bytes) -> Callable[[], object]:
    def lay() -> None:
        Path("idx").mkdir()
        Path("idx/train-images-idx3-ubyte").write_bytes(content)
        Path("idx/t10k-images-idx3-ubyte").write_bytes(IDX)

    return lay


def _idx_files() -> Iterator[BadData]:
    for fault, content in {
        "empty": b"",
        "half a header": IDX[:9],
        "a byte short": IDX[:-1],
        "a byte long": IDX + b"\0",
        "labels": struct.pack(">4BI", 0, 0, 8, 1, 6) + bytes(6),
        "floats": IDX[:2] + b"\x0d" + IDX[3:],
        "four axes": IDX[:3] + b"\x04" + IDX[4:],
        "32 pixels wide": IDX[:12] + struct.pack(">I", 32) + IDX[16:],
        "four billion images": IDX[:4] + struct.pack(">I", 2**32 - 1) + IDX[8:],
        "a gzip cut short": gzip.compress(IDX)[:-20],
    }.items():
        yield BadData(f"idx: {fault}", "mnist", {"path": "idx", "side": 7}, _idx(content), "train-images-idx3-ubyte")


# -- text and drawings ----------------------------------------------------------------------------


def _texts() -> Iterator[BadData]:
    text = "It was a dark and stormy night; é. " * 9
    for fault, content in {
        "gzip": gzip.compress(text.encode()),
        "bzip2": bz2.compress(text.encode()),
        "xz": lzma.compress(text.encode()),
        "UTF-16": text.encode("utf-16"),
        "UTF-16 without a mark": text.encode("utf-16-le"),
        "UTF-32": text.encode("utf-32"),
        "Latin-1": text.encode("latin-1"),
        "a character cut short": text.encode() + "é".encode()[:1],
        "a picture": b"\x89PNG\r\n\x1a\n" + NOISE,
        "a document": b"%PDF-1.4\n" + text.encode(),
        "a table": b"PAR1" + NOISE,
        "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
        "a zero byte": text.encode() + b"\0",
    }.items():
        yield BadData(f"text: {fault}", "text", {"path": "a.txt"}, _put("a.txt", content), "a.txt")
    for size in (1, 2, 5):
        yield BadData(f"text: {size} bytes", "text", {"path": "a.txt"}, _put("a.txt", b"abcde"[:size]), "a.txt")
    for size in (6, 8, 12, 60):
        fault = f"text: {size} bytes for a length of 8"
        yield BadData(fault, "text", {"path": "a.txt"}, _put("a.txt", b"a" * size), "length is 8; ")
    for size in (1, 3):
        lay = _folder({"a.txt": b"a" * size, "b.txt": b"b" * size})
        yield BadData(f"text: two files of {size} bytes", "text", {"path": "folder"}, lay, "'folder'")
    yield BadData("text: only binary files", "text", {"path": "folder"}, _put("folder/a.bin", bytes(99)), "folder")
    yield BadData("text: only hidden files", "text", {"path": "folder"}, _put("folder/.a.txt", b"a" * 99), "folder")
    yield BadData("text: an empty file in a folder", "text", {"path": "folder"}, _put("folder/a.txt", b""), "folder")


SVG = '<svg xmlns="http://www.w3.org/2000/svg" {}>{}</svg>'
BOX, LINE = 'viewBox="0 0 109 109"', '<path d="M11,54.25c3.19,0.62,6.25,0.75,9.73,0.5s50.39-5.12,68.58-5.24"/>'
DRAWING = SVG.format(BOX, LINE).encode()


def _svg(content: bytes) -> Callable[[], object]:
    def lay() -> None:
        Path("svg").mkdir()
        for i in range(12):
            Path(f"svg/{i:02}.svg").write_bytes(DRAWING)
        Path("svg/05.svg").write_bytes(content)

    return lay


def _drawings() -> Iterator[BadData]:
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    for fault, content in {
        "empty": "",
        "cut short": SVG.format(BOX, LINE)[:90],
        "no XML": "M 0 0 L 9 9",
        "no size": SVG.format("", LINE),
        "a size of 0": SVG.format('viewBox="0 0 0 109"', LINE),
        "a size of nan": SVG.format('viewBox="0 0 nan 109"', LINE),
        "a size in words": SVG.format('viewBox="a b c d"', LINE),
        "five numbers": SVG.format('viewBox="0 0 109 109 1"', LINE),
        "a line far out": SVG.format(BOX, '<path d="M0,0L1e30,1e30"/>'),
        "a line to nan": SVG.format(BOX, '<path d="M0,0Lnan,nan"/>'),
        "a path of words": SVG.format(BOX, '<path d="from here to there"/>'),
        "half a curve": SVG.format(BOX, '<path d="M0,0C1,2"/>'),
        "a group that is moved": SVG.format(BOX, f'<g transform="scale(2)">{LINE}</g>'),
        "a billion laughs": f'<!DOCTYPE svg [<!ENTITY a0 "lol">{laughs}]>'
        + SVG.format(BOX, "<text>&a11;</text>" + LINE),
        "another file's text": '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        + SVG.format(BOX, "&a;" + LINE),
    }.items():
        yield BadData(f"strokes: {fault}", "strokes", {"path": "svg"}, _svg(content.encode()), "05.svg")
