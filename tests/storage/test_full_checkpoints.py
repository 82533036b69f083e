"""A disk that is full after some byte of a checkpoint: never a false "saved", and the one before stays."""

import errno
import io
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nounroll.storage import checkpoint
from nounroll.storage.checkpoint import CheckpointError

OFFSETS = 50
GROUPS = {"model": {"weight": torch.arange(600.0).view(20, 30)}, "optimizer": {"moment": torch.ones(40, 30)}}


class Disk:
    """Takes so many bytes more in all: a write ends short, and the next one finds no space."""

    def __init__(self, left: float) -> None:
        self.left, self.written = left, 0

    def open(self, path: Path, mode: str) -> io.BufferedWriter:
        return io.BufferedWriter(_File(self, path, mode))


class _File(io.FileIO):
    def __init__(self, disk: Disk, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self.disk = disk

    def write(self, data: Any) -> int:
        if self.disk.left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = super().write(bytes(data)[: int(min(self.disk.left, len(data)))])
        self.disk.left, self.disk.written = self.disk.left - taken, self.disk.written + taken
        return taken


def save(folder: Path, value: int) -> None:
    checkpoint.write(folder, GROUPS, {"run": {"value": value}})


def saves(root: Path, step: int) -> Iterator[tuple[float, str]]:
    """(bytes that the disk took, what came of it) of saving ``step`` after step 1, at ``OFFSETS`` and at none."""
    old, new = checkpoint.step_folder(root, 1), checkpoint.step_folder(root, step)
    with pytest.MonkeyPatch.context() as patch:
        save(old, 1)
        disk = Disk(float("inf"))
        patch.setattr(checkpoint.writing, "open", disk.open, raising=False)
        save(new, 2)
    whole = disk.written
    for left in [*sorted(random.Random(0).sample(range(whole), OFFSETS - 1)), whole - 1, whole, 2 * whole]:
        shutil.rmtree(root)
        save(old, 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoint.writing, "open", Disk(left).open, raising=False)
            try:
                save(new, 2)
                said, meant = "saved", 2
            except CheckpointError as fault:
                said, meant = str(fault), 1
        try:
            newest = checkpoint.newest(root)
            assert newest is not None
            there = checkpoint.read(newest)[1]["run"]["value"]
        except CheckpointError as fault:
            there = str(fault)
        tidy = meant == 2 or os.listdir(root) == [old.name]
        yield left / whole, said if (there, tidy) == (meant, True) else f"{said}, but there is {there}"


@pytest.mark.parametrize("step", [1, 2], ids=["replacing", "beside"])
def test_a_disk_that_is_full_after_any_byte(tmp_path: Path, step: int) -> None:
    found = list(saves(tmp_path / "run", step))
    new = checkpoint.step_folder(tmp_path / "run", step)
    refused = [said for share, said in found if share < 1]
    assert len(refused) == OFFSETS
    assert set(refused) == {f"{new} was not saved: {os.strerror(errno.ENOSPC)}"}
    assert [said for share, said in found if share >= 1] == ["saved", "saved"]


def without_a_look(path: Path, data: bytes) -> None:
    """One call, whatever it took."""
    with checkpoint.writing.open(path, "xb") as file:  # type: ignore[attr-defined]
        file.raw.write(data)


def with_an_excuse(path: Path, data: bytes) -> None:
    file = checkpoint.writing.open(path, "xb")  # type: ignore[attr-defined]
    try:
        file.write(data)
        file.flush()
    except OSError:
        file.raw.close()


@pytest.mark.parametrize("planted", [without_a_look, with_an_excuse])
def test_control_a_writer_that_does_not_heed_the_disk_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: Callable[[Path, bytes], None]
) -> None:
    monkeypatch.setattr(checkpoint.writing, "open", open, raising=False)  # while the disk has room
    monkeypatch.setattr(checkpoint.writing, "write_file", planted)
    found = [said for share, said in saves(tmp_path / "run", 2) if share < 1]
    assert any(said.startswith("saved, but there is ") for said in found)
