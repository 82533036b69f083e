"""Python's standard library, byte by byte."""

import hashlib
import os
import sysconfig
from pathlib import Path

import torch
from torch import Tensor

from suite_tasks.measures import BITS_PER_BYTE
from suite_tasks.problem import Batch, Problem, Sampled, Symbols

_NOT_SOURCE = {"site-packages", "dist-packages", "test", "tests", "idlelib", "encodings", "__pycache__", "pydoc_data"}
_SHARE = 0.05  # of the files, for the test part; as many again are for validation


def source_files() -> dict[str, list[Path]]:
    """The .py files of the standard library by part. A hash of a file's name decides, on any machine alike."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    parts: dict[str, list[Path]] = {"train": [], "validation": [], "test": []}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NOT_SOURCE and not name.startswith(".")]
        for path in (Path(parent, name) for name in names if name.endswith(".py") and not name.startswith(".")):
            digest = hashlib.sha256(os.fsencode(path.relative_to(folder).as_posix())).digest()
            place = int.from_bytes(digest[:8]) / 2**64
            part = "test" if place < _SHARE else "validation" if place < 2 * _SHARE else "train"
            parts[part].append(path)
    return {part: sorted(paths) for part, paths in parts.items()}


def standard_library() -> Problem:
    data = {part: _bytes(paths) for part, paths in source_files().items()}

    def windows(part: str, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        """Windows at random places of a part, in which every byte predicts the next."""
        starts = torch.randint(len(data[part]) - length, (batch_size, 1), generator=generator)
        rows = data[part][starts + torch.arange(length + 1)].long()
        return Batch(rows[:, :-1], rows[:, 1:], torch.ones(batch_size, length, dtype=torch.bool))

    return Sampled(
        name="text",
        title="Python's standard library, the next byte; files of their own are held out",
        inputs=Symbols(256),
        targets=Symbols(256),
        length=128,
        seconds=150,
        measure=BITS_PER_BYTE,
        next_input=True,
        draw=windows,
        validation_sequences=128,
        test_sequences=512,
        stream=data["train"],
        group="language and music",
    )


def _bytes(paths: list[Path]) -> Tensor:
    return torch.frombuffer(bytearray(b"".join(path.read_bytes() for path in paths)), dtype=torch.uint8)
