"""Grey images of 28x28 pixels in MNIST's file formats, which other data sets share."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int, UInt8

from nounroll.data.checks import whole_number
from nounroll.data.csv_table import is_number
from nounroll.data.encoding import read_text
from nounroll.data.files import existing, read_bytes
from nounroll.data.images import PixelImages, average_pool, quantise
from nounroll.data.rows import held_out_rows
from nounroll.data.sources import hub, optional, tables

_SIDE = 28
_SIDES = (28, 14, 7)
_CLASSES = 100  # upper bound of labels; 10 classes are usual
_HEADER = 1 << 16  # characters of a first line to inspect
_IDX_HEADER = b"\0\0\x08\x03"  # unsigned bytes, three dimensions

Parts: TypeAlias = tuple[UInt8[np.ndarray, "N 28 28"], Int[np.ndarray, "M"]]  # all images, indices of held-out images


class GreyImages(PixelImages):
    """Images of 28x28 bytes, reduced to ``side`` and quantised to ``levels``, in raster order.

    ::

        inputs    START  p_0  p_1  ...  p_{T-2}        START = levels, T <= side * side
        targets   p_0    p_1  p_2  ...  p_{T-1}

    Args:
        kind: the task's name in recipes.
        levels: number of grey levels, 2 to 256.
        side: 28, or 14 or 7 to average squares of 2x2 or 4x4 pixels.
        load: returns the images and the indices of held-out images; called after the check of the other options.
    """

    def __init__(self, *, kind: str, levels: int, side: int, load: Callable[[], Parts]) -> None:
        whole_number(f"{kind}.levels", levels, 2, 256)
        if side not in _SIDES or not isinstance(side, int):
            raise ValueError(f"{kind}.side is {side!r}; it must be one of 28, 14, 7")
        images, held_out = load()
        small = quantise(average_pool(images, side), levels)
        super().__init__(images=small, held_out=held_out, levels=levels, name=kind)


def from_hub_or(path: str | Path | None, kind: str, name: str) -> Parts:
    """Load the data set ``name`` from the hub, or local files if there is a path."""
    if path is not None:
        return from_path(path, kind)
    return _joined(*(_pictures(kind, name, hub(kind, name, part)) for part in ("train", "test")))


def from_path(path: str | Path, kind: str) -> Parts:
    """Load local files; the test images are held out, or without them a fixed random tenth.

    Args:
        path: a folder with the IDX files ``train-images-idx3-ubyte`` and ``t10k-images-idx3-ubyte`` (``.gz`` or not), a
            .csv or .csv.gz file with 784 pixels and the label per line, where the label is first, last or named in a
            header; a .parquet or .arrow file in the hub's form (column "image"), or a folder of such files.
        kind: the task's name in errors.
    """
    found = existing(f"{kind}.path", path)
    name = f"{kind}.path '{path}'"
    idx = [sorted(found.glob(f"{part}-images*idx3-ubyte*")) for part in ("train", "t10k")] if found.is_dir() else []
    if any(idx):
        if not all(idx):
            raise ValueError(f"{kind}.path is '{path}'; it must hold both train-images-* and t10k-images-* IDX files")
        return _joined(*(_read_idx(kind, files[0]) for files in idx))
    if found.name.endswith((".csv", ".csv.gz")):
        images = _read_csv(kind, found)
    else:
        parts = {part: _pictures(kind, name, table) for part, table in tables(kind, found, ("image",)).items()}
        if "validation" in parts:
            return _joined(parts["train"], parts["validation"])
        images = parts["train"]
    return images, held_out_rows(name, len(images))


def _joined(train: np.ndarray, held_out: np.ndarray) -> Parts:
    return np.concatenate([train, held_out]), np.arange(len(train), len(train) + len(held_out))


def _pictures(kind: str, name: str, table: Any) -> UInt8[np.ndarray, "N 28 28"]:
    """Read the column "image" of a ``datasets.Dataset`` as grey bytes."""
    grey = optional("datasets", f"task {kind}", "data").Image(mode="L")
    try:
        images = [np.asarray(image) for image in table.cast_column("image", grey)["image"]]
    except Exception as error:  # a value that is no image fails in Arrow, in datasets or in Pillow
        raise ValueError(f"{name} has a column 'image' that does not hold images ({type(error).__name__})") from None
    for row, image in enumerate(images):
        if image.shape != (_SIDE, _SIDE):
            raise ValueError(f"{name} has an image of shape {image.shape} in row {row}; it must be (28, 28)")
    return np.array(images, dtype=np.uint8).reshape(-1, _SIDE, _SIDE)


def _read_idx(kind: str, path: Path) -> UInt8[np.ndarray, "N 28 28"]:
    data = read_bytes(f"{kind}.path", path)
    count, height, width = np.frombuffer(data[4:16].ljust(12, b"\0"), dtype=">u4").tolist()
    if data[:4] != _IDX_HEADER or (height, width) != (_SIDE, _SIDE) or len(data) != 16 + count * _SIDE * _SIDE:
        raise ValueError(f"{kind}.path holds '{path}'; it is not an IDX file of 28x28 bytes an image, or is cut short")
    return np.frombuffer(data, dtype=np.uint8, offset=16).reshape(count, _SIDE, _SIDE)


def _read_csv(kind: str, path: Path) -> UInt8[np.ndarray, "N 28 28"]:
    name, text = f"{kind}.path is '{path}'", read_text(f"{kind}.path", path)
    if not text.strip():
        raise ValueError(f"{name}; the file is empty")
    header = text.lstrip()[:_HEADER].partition("\n")[0].lower().replace('"', "").strip().split(",")
    header = [] if is_number(header[0]) else header
    try:
        lines = io.StringIO(text.lstrip())
        table = np.loadtxt(lines, delimiter=",", dtype=np.float32, ndmin=2, comments=None, skiprows=int(bool(header)))
    except ValueError as error:  # NumPy names the row
        raise ValueError(f"{name}; {str(error).splitlines()[0]}") from None
    if table.shape[1] != _SIDE * _SIDE + 1:
        raise ValueError(f"{name} with {table.shape[1]} columns; 784 pixels and the label are needed")
    label = _label_column(name, header, table)
    bad = ~((table >= 0) & (table <= 255) & (table == np.rint(table)))
    bad[:, label] = False
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        where = f"row {row + 1}, column {column + 1}"
        raise ValueError(f"{name} with {table[row, column]} at {where}; pixels must be whole numbers from 0 to 255")
    return np.delete(table, label, 1).astype(np.uint8).reshape(-1, _SIDE, _SIDE)


def _label_column(name: str, header: list[str], table: np.ndarray) -> int:
    """Find the column of the label: by the header, or the first or last column if it looks like labels."""
    if header:
        if header.count("label") != 1:
            raise ValueError(f"{name} with a header that names no column label; name one so, or leave the header out")
        return header.index("label")
    first, last = (_may_be_label(table[:, column]) for column in (0, -1))
    if first and last:
        raise ValueError(f"{name}; its label may be the first column or the last, write a header that says label")
    return 0 if first else table.shape[1] - 1


def _may_be_label(column: np.ndarray) -> bool:
    """Return whether a column holds small whole numbers, several of them and each more than once."""
    whole = (column >= 0) & (column < _CLASSES) & (column == np.rint(column))
    return bool(whole.all()) and 1 < len(np.unique(column)) <= len(column) // 2
