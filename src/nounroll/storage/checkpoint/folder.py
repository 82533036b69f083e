"""A folder of checkpoints, one for each saved step."""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from nounroll.core.notices import notice
from nounroll.storage.checkpoint.format import MANIFEST, OLD, TEMPORARY, CheckpointError, one_line
from nounroll.storage.checkpoint.writing import remove_folder

_UNFINISHED = re.compile(rf"{re.escape(TEMPORARY)}.+-[0-9a-f]{{8}}")
STEP_NAME = re.compile(r"step-(\d{8,})")

T = TypeVar("T")


def step_folder(checkpoints: Path, step: int) -> Path:
    """Return the folder of the checkpoint of a step."""
    return checkpoints / f"step-{step:08d}"


def every(checkpoints: Path) -> list[Path]:
    """List every checkpoint folder by step, damaged ones included."""
    return sorted(path for path in _folders(checkpoints) if STEP_NAME.fullmatch(path.name.removeprefix(OLD)))


def named(folder: Path) -> list[Path]:
    """List every checkpoint of a folder by final name, also if an interrupted replacement left it beside its place.

    Other leftovers of dead processes are removed.
    """
    remove_unfinished(folder)
    return sorted({path.with_name(path.name.removeprefix(OLD)) for path in _folders(folder)})


def remove_unfinished(folder: Path) -> None:
    """Remove the leftovers of processes that died while they wrote to a folder."""
    for path in _folders(folder):
        if _UNFINISHED.fullmatch(path.name):
            shutil.rmtree(path)


def newest(checkpoints: Path) -> Path | None:
    """Return the complete checkpoint with the highest step, or None. ``read`` detects damage."""
    steps = _steps(checkpoints)
    return steps[-1] if steps else None


def newest_first(checkpoints: Path) -> list[Path]:
    """List every checkpoint folder, damaged ones included, from the highest step down; a replacement comes first."""
    found = [(int(path.name.rpartition("-")[2]), path.name, path) for path in every(checkpoints)]
    return [path for *_, path in sorted(found, reverse=True)]


def read_newest(folders: Iterable[Path], read: Callable[[Path], T]) -> tuple[Path, T] | None:
    """Read the first undamaged one of some checkpoints; None if there are none.

    A notice names each damaged checkpoint before it.

    Raises:
        CheckpointError: all checkpoints are damaged, or one must not be read.
    """
    faults: list[CheckpointError] = []
    for folder in folders:
        try:
            found = read(folder)
        except CheckpointError as fault:
            if isinstance(fault.__cause__, PermissionError | MemoryError):
                raise
            faults.append(fault)
            continue
        for fault in faults:
            notice(f"{fault}; {folder} is taken in its place")
        return folder, found
    if faults:
        raise faults[0]
    return None


def set_aside(folder: Path) -> None:
    """Rename a damaged checkpoint, so that it is ignored but can still be inspected.

    Raises:
        CheckpointError: the checkpoint cannot be renamed.
    """
    try:
        os.rename(folder, folder.with_name(f"damaged-{folder.name.removeprefix(OLD)}-{secrets.token_hex(4)}"))
    except OSError as fault:
        raise CheckpointError(f"{folder} was not set aside: {one_line(fault)}") from fault


def prune(checkpoints: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints, and the leftovers of dead processes.

    Raises:
        CheckpointError: a folder cannot be removed.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}; at least 1 checkpoint must stay")
    try:
        for stale in _steps(checkpoints)[:-keep]:
            remove_folder(stale)
        for path in _folders(checkpoints):
            replaced = path.name.startswith(OLD) and path.with_name(path.name.removeprefix(OLD)).exists()
            if path.name.startswith(TEMPORARY) or replaced:
                shutil.rmtree(path)
    except OSError as fault:
        raise CheckpointError(f"{checkpoints} was not pruned: {one_line(fault)}") from fault


def _steps(checkpoints: Path) -> list[Path]:
    """List the complete checkpoints by step; after an interrupted replacement, the old copy."""
    steps: dict[int, Path] = {}
    for path in sorted(_folders(checkpoints)):  # ".old-…" sorts before "step-…", which replaces it
        match = STEP_NAME.fullmatch(path.name.removeprefix(OLD))
        if match and (path / MANIFEST).is_file():
            steps[int(match[1])] = path
    return [steps[step] for step in sorted(steps)]


def _folders(checkpoints: Path) -> list[Path]:
    entries = os.scandir(checkpoints) if checkpoints.exists() else ()
    return [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
