"""Paths of data in recipes: relative to the recipe's folder, so that a run and its data can move together."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATHS = ("path", "held_out", "test")  # options of tasks that name files or folders


def seen_from_here(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Convert the paths in the options of a recipe in ``folder`` to paths from the working folder.

    A path that does not exist from the recipe's folder may be relative to the working folder, so it is not changed.
    Exception: a path with ``..`` that exists in neither was written by a run whose data is gone, so it is converted.
    """
    found = {name: folder / path for name, path in _paths(options) if _exists(folder / path) or _is_gone(path)}
    return {**options, **{name: _relative(path, Path()) for name, path in found.items()}}


def seen_from(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Convert paths from the working folder to paths from ``folder``; paths of missing files are not changed."""
    found = {name: _relative(Path(path), folder) for name, path in _paths(options) if _exists(Path(path))}
    return {**options, **found}


def _paths(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List names and values of the relative paths."""
    given = [(name, options.get(name)) for name in PATHS]
    return [(name, str(path)) for name, path in given if isinstance(path, str | Path) and not Path(path).is_absolute()]


def _relative(path: Path, folder: Path) -> str:
    """Return a relative path between real folders; a link to the data itself is not resolved."""
    there = Path(os.path.realpath(path.parent)) / path.name
    try:
        return Path(os.path.relpath(there, os.path.realpath(folder))).as_posix()
    except ValueError:  # on another drive
        return str(there)


def _is_gone(path: str) -> bool:
    return Path(path).parts[:1] == ("..",) and not _exists(Path(path))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # an invalid file name
        return False
