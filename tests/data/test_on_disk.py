"""Text and tokens on disk: what is read is what is there, and memory does not grow with the files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from commands import TINY
from nounroll.data.arrays import TokenArray
from nounroll.data.on_disk import OnDisk, Section
from nounroll.data.task import draw
from nounroll.data.text import Text

LINE = b"It was a dark and stormy night, and the rain fell in torrents. \n"  # 64 bytes
MIB = 2**20


def files_of(folder: Path, *sizes: int) -> tuple[OnDisk, np.ndarray]:
    """Files of int16 with two bytes of another kind before them, and what they hold together."""
    whole = np.arange(sum(sizes), dtype=np.int16)
    sections = []
    for index, part in enumerate(np.split(whole, np.cumsum(sizes)[:-1])):
        path = folder / f"{index}.bin"
        path.write_bytes(b"##" + part.tobytes())
        sections.append(Section(path, 2, len(part)))
    return OnDisk("some.path", sections, np.int16), whole


def test_slices_are_those_of_the_whole(tmp_path: Path) -> None:
    there, whole = files_of(tmp_path, 3, 1, 4)
    for start in range(9):
        for stop in range(9):
            view = there[start:stop]
            assert len(view) == view.size == view.shape[0] == len(whole[start:stop])
            np.testing.assert_array_equal(np.asarray(view), whole[start:stop])
            np.testing.assert_array_equal(np.asarray(view[1:-1]), whole[start:stop][1:-1])
    assert np.asarray(there, dtype=np.int64).dtype == np.int64


def test_files_that_change_are_told_of(tmp_path: Path) -> None:
    there, _ = files_of(tmp_path, 3, 5)
    (tmp_path / "1.bin").write_bytes(b"##1")
    np.testing.assert_array_equal(np.asarray(there[:3]), [0, 1, 2])
    with pytest.raises(ValueError, match=r"^some\.path is '.*1\.bin'; the file is shorter than when it was opened"):
        np.asarray(there)
    (tmp_path / "0.bin").unlink()
    with pytest.raises(ValueError, match=r"^some\.path is '.*0\.bin'; there is no such file"):
        np.asarray(there)


def test_a_folder_reads_as_its_files_end_to_end(tmp_path: Path) -> None:
    for name, text in {"a": "first ", "b": "second ", "c": "third ", "d": "fourth "}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    task = Text(path=tmp_path)
    parts = {task.decode(draw(part, 1, part.max_length or 0, 0, "t").inputs[0]) for part in (task, task.validation())}
    assert any("first second" in p or "second third" in p or "third fourth" in p for p in parts)


def test_a_token_file_is_the_same_on_disk(tmp_path: Path) -> None:
    tokens = np.arange(500, dtype=">u2") % 77
    np.save(tmp_path / "tokens.npy", tokens)
    task = TokenArray(path=tmp_path / "tokens.npy")
    batch = draw(task, 20, 30, 0, "t")
    assert all((np.diff(row) % 77 == 1).all() for row in batch.inputs.numpy())
    assert (task.inputs.n, task.max_length) == (77, 449)  # type: ignore[union-attr]


# --- memory -------------------------------------------------------------------------------------------

PEAK = """
import json, sys
import numpy as np
from nounroll import data
from nounroll.data.task import draw
def peak():
    return 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
kind, path = sys.argv[1:]
draw(data.build("parity"), 16, 128, 0, "train")
before = peak()
task = data.build(kind, {"path": path})
for step in range(300):
    draw(task, 16, 128, 0, "train", step)
drawn = peak()
source = getattr(task, "_source", task)
whole = np.asarray(source._data)  # the planted bug: all of it is read
print(json.dumps({"drawn": drawn - before, "whole": peak() - before}))
"""
COMMAND = """
import sys
from nounroll.cli.main import main
status = main(sys.argv[1:])
print(status, 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")


def run(script: str, *words: object) -> str:
    command = [sys.executable, "-c", script, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]


def write(path: Path, size: int) -> Path:
    """A text of ``size`` bytes."""
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(LINE * (min(MIB, size - start) // len(LINE)))
    return path


@linux
@pytest.mark.parametrize("kind", ["text", "array"])
def test_memory_does_not_grow_with_the_files(tmp_path: Path, kind: str) -> None:
    size = 128 * MIB
    if kind == "text":
        path = tmp_path / "texts"
        path.mkdir()
        for index in range(4):
            write(path / f"{index}.txt", size // 4)
    else:
        path = tmp_path / "tokens.npy"
        np.save(path, np.zeros(size // 2, dtype=np.uint16))
    found = json.loads(run(PEAK, kind, path))
    assert found["drawn"] < size // 4
    assert found["whole"] > size // 2  # the control


@linux
@pytest.mark.nightly
def test_two_gigabytes_train_in_the_memory_of_one_megabyte(tmp_path: Path) -> None:
    peaks = []
    for name, size in (("small", MIB), ("large", 2 * 2**30)):
        path = write(tmp_path / f"{name}.txt", size)
        assert path.stat().st_size == size
        recipe = tmp_path / f"{name}.yaml"
        recipe.write_text(f"task: {{kind: text, options: {{path: {path}}}}}\n{TINY}")
        status, peak = map(int, run(COMMAND, "train", recipe, "--steps", 200, "--out", tmp_path / name).split())
        assert status == 0
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 32 * MIB
