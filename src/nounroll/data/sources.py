"""Where data comes from: local files, optional packages, the hub. Every fault is a one-line ValueError."""

import importlib
import importlib.metadata
import os
import re
import stat
import zlib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from nounroll import files
from nounroll.machine import total_memory

_UNPACKED = 64 << 20  # bytes that any gzip may unpack to


def existing(setting: str, path: object) -> Path:
    """The path, or a ValueError when there is nothing, or a pipe, a device or a socket, which might never end."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{setting} is {path!r}; it must be the path of a file or folder")
    try:
        if Path(path).exists():
            mode = os.stat(path).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise ValueError(f"{setting} is '{path}'; it is a pipe or a device, give a file")
            return Path(path)
    except OSError as error:
        raise unreadable(setting, path, error) from None
    raise ValueError(f"{setting} is '{path}'; there is no such file or folder")


def read_bytes(setting: str, path: str | Path) -> bytes:
    """A file's bytes, unpacked if it is a gzip, which may hold ``64 MiB`` and 50 times its own size."""
    try:
        data = files.read_bytes(existing(setting, path), total_memory(), follow=True)
        return files.gunzipped(data, _UNPACKED + 50 * len(data)) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(setting, path, error) from None


def unreadable(setting: str, path: object, error: Exception) -> ValueError:
    """The error for a file that is there and yet does not give its content."""
    return ValueError(f"{setting} is '{path}'; it cannot be read ({_reason(error)})")


def _reason(error: BaseException) -> str:
    """The first line of the error at the bottom, without the path that the message has already."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = (getattr(error, "strerror", None) or str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def optional(module: str, task: str, extra: str) -> Any:
    """Import a package that only some tasks need."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise ValueError(f"task {task} needs the package {package}; pip install nounroll[{extra}]") from None


def packaged(package: str, pattern: str, task: str, extra: str) -> list[Path]:
    """The data files that an installed package ships, by name; the package itself is not imported."""
    try:
        listed = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(f"task {task} needs the package {package}; pip install nounroll[{extra}]") from None
    found = sorted(Path(str(file.locate())) for file in listed if fnmatchcase(file.name, pattern))
    if not found:
        raise ValueError(f"task {task} needs {pattern} of the package {package}; this version of it has none")
    return found


def hub(task: str, name: str, split: str) -> Any:
    """One split of a data set on the hub, by name: a ``datasets.Dataset``."""
    datasets = optional("datasets", task, "data")
    try:
        return datasets.load_dataset(name, split=split)
    except Exception as error:  # no network, no such data set, hub offline: each layer has its own errors
        raise ValueError(
            f"{task}.path is None; {name} could not be loaded from the hub ({_reason(error)}), set a local path"
        ) from None


_FORMATS = {".parquet": "parquet", ".arrow": "arrow", ".json": "json", ".jsonl": "json"}  # the first found is read
_HELD_OUT = re.compile(r"(?<![a-z])(valid|validation|test)(?![a-z])", re.IGNORECASE)


def tables(task: str, path: Path, columns: tuple[str, ...]) -> dict[str, Any]:
    """Local files of the hub's form, a file or a folder of them -> {"train": Dataset, "validation": Dataset}.

    A file in a folder is held out when it, or a folder on the way to it, is named "validation", "valid" or "test"
    ("validation-00000-of-00001.parquet", say). Without one there is no "validation".
    """
    setting = f"{task}.path"
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    kind = next((kind for suffix, kind in _FORMATS.items() if any(p.suffix == suffix for p in found)), None)
    if kind is None:
        raise ValueError(f"{setting} is '{path}'; it must be, or hold, files of the kind {', '.join(_FORMATS)}")
    parts: dict[str, list[str]] = {"train": [], "validation": []}
    for file in (existing(setting, p) for p in found if _FORMATS.get(p.suffix) == kind):
        held_out = _HELD_OUT.search(str(file.relative_to(path))) if path.is_dir() else None
        parts["validation" if held_out else "train"].append(str(file))
    if not parts["train"]:
        raise ValueError(f"{setting} is '{path}'; every file there is named as held out, none is left to train on")
    datasets = optional("datasets", task, "data")
    try:
        loaded = datasets.load_dataset(kind, data_files={k: v for k, v in parts.items() if v})
    except Exception as error:  # each reader behind it has its own errors
        raise unreadable(setting, path, error) from None
    for part, table in loaded.items():
        missing = [c for c in columns if c not in table.column_names]
        if missing:
            raise ValueError(f"{setting} is '{path}'; its {part} files have no column {missing[0]!r}")
    return dict(loaded)
