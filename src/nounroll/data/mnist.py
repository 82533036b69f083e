"""MNIST: images of handwritten digits, and any data set of the same form."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from nounroll.data.checks import whole_number
from nounroll.data.images import PixelImages, average_pool, quantise
from nounroll.data.rows import held_out_rows
from nounroll.data.sources import existing, hub, optional, read_bytes, tables

_SIDE = 28
_SIDES = (28, 14, 7)
_IDX_HEADER = b"\0\0\x08\x03"  # unsigned bytes, three dimensions


class MNIST(PixelImages):
    """Images of 28x28 bytes, shrunk to ``side`` and quantised to ``levels``, in raster order.

    ::

        inputs    START  p_0  p_1  ...  p_{T-2}        START = levels, T <= side * side
        targets   p_0    p_1  p_2  ...  p_{T-1}

    The test images are held out; where the data has no test part, a fixed random tenth is.

    Args:
        levels: number of grey levels, 2 to 256.
        path: None: "ylecun/mnist" from the hub. Or local data: a folder with the IDX files
            ``train-images-idx3-ubyte`` and ``t10k-images-idx3-ubyte`` (``.gz`` or not; Fashion-MNIST has the same),
            a .csv or .csv.gz file of 784 pixels and the label a line, a .parquet or .arrow file of the hub's form
            (column "image"), or a folder of those.
        side: 28, or 14 or 7 to average squares of 2x2 or 4x4 pixels.
    """

    def __init__(self, *, levels: int = 16, path: str | Path | None = None, side: int = 28) -> None:
        whole_number("mnist.levels", levels, 2, 256)
        if side not in _SIDES or not isinstance(side, int):
            raise ValueError(f"mnist.side is {side!r}; it must be one of 28, 14, 7")
        images, held_out = _load(path)
        small = quantise(average_pool(images, side), levels)
        super().__init__(images=small, held_out=held_out, levels=levels, name="mnist")


def _load(path: str | Path | None) -> tuple[UInt8[np.ndarray, "N 28 28"], Int[np.ndarray, "M"]]:
    """(N, 28, 28) bytes and the numbers of those held out."""
    if path is None:
        return _joined(*(_pictures("ylecun/mnist", hub("mnist", "ylecun/mnist", split)) for split in ("train", "test")))
    found = existing("mnist.path", path)
    name = f"mnist.path '{path}'"
    idx = [sorted(found.glob(f"{part}-images*idx3-ubyte*")) for part in ("train", "t10k")] if found.is_dir() else []
    if any(idx):
        if not all(idx):
            raise ValueError(f"mnist.path is '{path}'; it must hold both train-images-* and t10k-images-* IDX files")
        return _joined(*(_read_idx(files[0]) for files in idx))
    if found.name.endswith((".csv", ".csv.gz")):
        images = _read_csv(found)
    else:
        parts = {part: _pictures(name, table) for part, table in tables("mnist", found, ("image",)).items()}
        if "validation" in parts:
            return _joined(parts["train"], parts["validation"])
        images = parts["train"]
    return images, held_out_rows(name, len(images))


def _joined(train: np.ndarray, held_out: np.ndarray) -> tuple[UInt8[np.ndarray, "N 28 28"], Int[np.ndarray, "M"]]:
    return np.concatenate([train, held_out]), np.arange(len(train), len(train) + len(held_out))


def _pictures(name: str, table: Any) -> UInt8[np.ndarray, "N 28 28"]:
    """The column "image" of a ``datasets.Dataset``, as grey bytes."""
    grey = optional("datasets", "mnist", "data").Image(mode="L")
    try:
        images = [np.asarray(image) for image in table.cast_column("image", grey)["image"]]
    except Exception as error:  # what is not an image fails in Arrow, in datasets or in Pillow
        raise ValueError(f"{name} has a column 'image' that does not hold images ({type(error).__name__})") from None
    for row, image in enumerate(images):
        if image.shape != (_SIDE, _SIDE):
            raise ValueError(f"{name} has an image of shape {image.shape} in row {row}; it must be (28, 28)")
    return np.array(images, dtype=np.uint8).reshape(-1, _SIDE, _SIDE)


def _read_idx(path: Path) -> UInt8[np.ndarray, "N 28 28"]:
    data = read_bytes("mnist.path", path)
    count, height, width = np.frombuffer(data[4:16].ljust(12, b"\0"), dtype=">u4").tolist()
    if data[:4] != _IDX_HEADER or (height, width) != (_SIDE, _SIDE) or len(data) != 16 + count * _SIDE * _SIDE:
        raise ValueError(f"mnist.path holds '{path}'; it is not an IDX file of 28x28 bytes an image, or is cut short")
    return np.frombuffer(data, dtype=np.uint8, offset=16).reshape(count, _SIDE, _SIDE)


def _read_csv(path: Path) -> UInt8[np.ndarray, "N 28 28"]:
    text = read_bytes("mnist.path", path)
    if not text.strip():
        raise ValueError(f"mnist.path is '{path}'; the file is empty")
    try:
        table = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.float32, ndmin=2)
    except ValueError as error:  # NumPy names the row
        raise ValueError(f"mnist.path is '{path}'; {str(error).splitlines()[0]}") from None
    if table.shape[1] != _SIDE * _SIDE + 1:
        raise ValueError(f"mnist.path is '{path}' with {table.shape[1]} columns; 784 pixels and the label are needed")
    pixels = table[:, :-1]
    bad = np.argwhere(~((pixels >= 0) & (pixels <= 255)))
    if len(bad):
        row, column = (int(i) for i in bad[0])
        where = f"row {row + 1}, column {column + 1}"
        raise ValueError(f"mnist.path is '{path}' with {pixels[row, column]} at {where}; pixels are 0..255")
    return pixels.astype(np.uint8).reshape(-1, _SIDE, _SIDE)
