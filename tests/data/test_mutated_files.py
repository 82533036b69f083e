"""Damaged data files give a task or one line naming the file, and nothing else."""

import gzip
import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from nounroll.data import build
from nounroll.data.task import draw


def parquet(records: list[dict[str, object]]) -> bytes:
    """A file of these rows; nothing where no package writes one, and the tests of it are skipped."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return b""
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), file)
    return file.getvalue()


def intact() -> dict[str, tuple[str, bytes]]:
    """name of the file -> (task, content)."""
    generator = np.random.default_rng(0)
    array, rows = io.BytesIO(), io.BytesIO()
    np.save(array, generator.integers(0, 50, 300, dtype=np.int32))
    np.save(rows, generator.integers(0, 50, (30, 12), dtype=np.uint8))
    table = "time,a,b\n" + "".join(
        f"{i}:00,{a:.3f},{b:.3f}\n" for i, (a, b) in enumerate(generator.normal(size=(60, 2)))
    )
    pixels = generator.integers(0, 256, (6, 785))
    idx = struct.pack(">4B3I", 0, 0, 8, 3, 6, 28, 28) + pixels[:, :784].astype(np.uint8).tobytes()
    text = "\n".join(",".join(map(str, row)) for row in pixels.tolist()).encode()
    curve = '<path d="M11,54.25c3.19,0.62,6.25,0.75,9.73,0.5s50.39-5.12,68.58-5.24"/>'
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 109 109"><g>{curve}</g></svg>'
    panel = [
        f"{'ab'[i // 30]},2024-01-{1 + i % 30:02},{a:.3f},{'uv'[i % 2]}"
        for i, a in enumerate(generator.normal(size=60))
    ]
    records = [
        dict(zip(("id", "day", "y", "kind"), (*row[:2], float(row[2]), row[3]), strict=True))
        for row in (one.split(",") for one in panel)
    ]
    return {
        "table.csv": ("table", "\n".join(["id,day,y,kind", *panel]).encode()),
        "table.jsonl": ("table", "\n".join(map(json.dumps, records)).encode()),
        "table.parquet": ("table", parquet(records)),
        "drawing.svg": ("strokes", drawing.encode()),
        "array.npy": ("array", array.getvalue()),
        "rows.npy": ("array", rows.getvalue()),
        "series.csv": ("series", table.encode()),
        "series.csv.gz": ("series", gzip.compress(table.encode())),
        "images.csv": ("mnist", text),
        "images.csv.gz": ("mnist", gzip.compress(text)),
        "train-images-idx3-ubyte": ("mnist", idx),
        "train-images-idx3-ubyte.gz": ("mnist", gzip.compress(idx)),
    }


def mutated(content: bytes, generator: np.random.Generator) -> bytes:
    """One fault, in the head of the file as often as in the rest."""
    data = bytearray(content)
    place = int(generator.integers(len(data) if generator.random() < 0.5 else min(130, len(data))))
    fault = int(generator.integers(5))
    if fault == 0:
        data[place] ^= 1 << int(generator.integers(8))
    elif fault == 1:
        del data[place:]
    elif fault == 2:
        del data[place : place + int(generator.integers(1, 20))]
    elif fault == 3:
        data[place:place] = generator.bytes(int(generator.integers(1, 20)))
    else:
        data[place : place + 1] = [b"nan", b"-", b",", b"\n", b'"', b"9" * 30, b"e"][int(generator.integers(7))]
    return bytes(data)


def refusals(path: Path, seeds: range) -> list[str]:
    """The messages about those of the damaged files that were refused; any error but ValueError escapes."""
    kind, content = intact()[path.name]
    options: dict[str, object] = {"path": str(path)}
    if kind == "series":
        options["columns"] = ["a", "b"]
    if kind == "table":
        pytest.importorskip("pyarrow")
        options["roles"] = {"id": "id", "time": "day", "target": "y", "input": "kind"}
    if "idx" in path.name:
        path.with_name(path.name.replace("train", "t10k")).write_bytes(content)
        options["path"] = str(path.parent)
    if path.suffix == ".svg":
        path.with_name("other.svg").write_bytes(content)
        options["path"] = str(path.parent)
    messages = []
    for seed in seeds:
        path.write_bytes(mutated(content, np.random.default_rng(seed)))
        try:
            task = build(kind, options)
            draw(task, 2, 1, 0, "train")
            draw(task.validation(), 2, 1, 0, "validation")
        except ValueError as error:
            messages.append(str(error))
    return messages


def check(path: Path, seeds: range) -> None:
    messages = refusals(path, seeds)
    assert len(messages) > len(seeds) // 10  # the damage is real
    for message in messages:
        assert "\n" not in message
        assert str(path.parent) in message


@pytest.mark.parametrize("name", list(intact()))
def test_damaged_files(tmp_path: Path, name: str) -> None:
    check(tmp_path / name, range(40))


@pytest.mark.nightly
@pytest.mark.parametrize("name", list(intact()))
def test_damaged_files_at_length(tmp_path: Path, name: str) -> None:
    check(tmp_path / name, range(40, 1000))
