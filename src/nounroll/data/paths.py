"""Paths of data in recipes: relative to the recipe's own folder, so that a run and its data can move together."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATHS = ("path", "held_out", "test")  # options of tasks that name files or folders


def seen_from_here(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Options of a recipe in ``folder``, with paths as they are found from the working folder.

    A path that leads to nothing from the recipe's folder is left as it is: it may be meant from the working folder. Not
    so one that leads upwards to nothing from there either: a run wrote it, whose data is gone.
    """
    found = {name: folder / path for name, path in _paths(options) if _exists(folder / path) or _is_gone(path)}
    return {**options, **{name: _relative(path, Path()) for name, path in found.items()}}


def seen_from(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths of a recipe's options in ``folder`` relative to the working folder; missing files keep theirs."""
    found = {name: _relative(Path(path), folder) for name, path in _paths(options) if _exists(Path(path))}
    return {**options, **found}


def _paths(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of the relative ones."""
    given = [(name, options.get(name)) for name in PATHS]
    return [(name, str(path)) for name, path in given if isinstance(path, str | Path) and not Path(path).is_absolute()]


def _relative(path: Path, folder: Path) -> str:
    """Return a path from one real folder to another: a link to the data itself is kept."""
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
    except (OSError, ValueError):  # a name that no file can have
        return False
