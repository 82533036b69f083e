"""Small local data in the form of each data set, for recipes whose data a machine may not have."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

_SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M1,{}H8"/></svg>'


def _images(folder: Path) -> Path:
    for part in ("train", "t10k"):
        pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">4B3I", 0, 0, 8, 3, 6, 28, 28) + pixels.tobytes()
        )
    return folder


def _drawings(folder: Path) -> Path:
    for i in range(1, 9):
        (folder / f"{i}.svg").write_text(_SVG.format(i))
    return folder


def _stories(folder: Path) -> Path:
    (folder / "train.jsonl").write_text("".join(json.dumps({"text": "One day. " * 99}) + "\n" for _ in range(9)))
    return folder / "train.jsonl"


def _tokens(folder: Path) -> Path:
    np.save(folder / "tokens.npy", np.random.default_rng(0).integers(0, 9, 500))
    return folder / "tokens.npy"


def _table(folder: Path) -> Path:
    (folder / "table.csv").write_text("a,b\n" + "".join(f"{i % 7},{i % 5}.5\n" for i in range(200)))
    return folder / "table.csv"


def _sales(folder: Path) -> Path:
    days = np.datetime64("2024-01-01") + np.arange(60)
    rows = [f"{shop},{day},{i % 7}.5,{i % 2}" for shop in ("Bonn", "Rome") for i, day in enumerate(days)]
    (folder / "sales.csv").write_text("\n".join(["shop,day,sales,offer", *rows]))
    return folder / "sales.csv"


def _scores(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    for i in range(12):
        notes = " ".join("CDEFGAB"[n] for n in draw.integers(0, 7, 12))
        voices = "".join(f"V:{voice}\n{notes}|\n" for voice in range(1, 5))
        (folder / f"{i}.abc").write_text(f"X:1\nT:{i}\nM:12/4\nL:1/4\nK:C\n{voices}")
    return folder


STAND_INS: dict[str, Callable[[Path], Path]] = {
    "mnist": _images,
    "fashion_mnist": _images,
    "strokes": _drawings,
    "tinystories": _stories,
    "array": _tokens,
    "series": _table,
    "table": _sales,
    "music": _scores,
}
