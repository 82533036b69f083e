"""Sources of data: optional packages, tables, the hub. Every fault is a one-line ValueError."""

import importlib
import importlib.metadata
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from nounroll.core.notices import notice
from nounroll.data.files import files_below, first_names, reason, unreadable


def optional(module: str, what: str, extra: str) -> Any:
    """Import an optional package; ``what`` names the part that needs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise ValueError(f"{what} needs the package {package}; pip install nounroll[{extra}]") from None


def packaged(package: str, pattern: str, task: str, extra: str) -> list[Path]:
    """Find data files of an installed package by name, without importing the package."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(f"task {task} needs the package {package}; pip install nounroll[{extra}]") from None
    found = sorted(Path(str(file.locate())) for file in files if fnmatchcase(file.name, pattern))
    if not found:
        raise ValueError(f"task {task} needs {pattern} of the package {package}; the installed version has none")
    return found


def hub(task: str, name: str, split: str) -> Any:
    """Load one split of a data set from the hub as a ``datasets.Dataset``."""
    datasets = optional("datasets", f"task {task}", "data")
    try:
        return datasets.load_dataset(name, split=split)
    except Exception as error:  # no network, no such data set, hub offline: each layer raises other types
        raise ValueError(
            f"{task}.path is None; {name} could not be loaded from the hub ({reason(error)}), set a local path"
        ) from None


_FORMATS = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".json": "json",
    ".jsonl": "json",
}  # in order of priority
_HELD_OUT = re.compile(r"(?<![a-z])(valid|validation|test)(?![a-z])", re.IGNORECASE)


def tables(
    task: str, path: Path, columns: tuple[str, ...], *, option: str = "path", split: bool = True
) -> dict[str, Any]:
    """Load local files in the hub's form, a file or a folder -> {"train": Dataset, "validation": Dataset}.

    A file is held out if its name or a folder in its path is "validation", "valid" or "test", for example
    "validation-00000-of-00001.parquet". Without such a file, or without ``split``, there is no "validation".
    """
    setting = f"{task}.{option}"
    files, links = files_below(setting, path) if path.is_dir() else ([path], [])
    if links:
        notice(f"{setting} is '{path}'; left out of it: {first_names(links)}")
    kind = next((kind for suffix, kind in _FORMATS.items() if any(p.suffix == suffix for p in files)), None)
    if kind is None:
        raise ValueError(f"{setting} is '{path}'; it must be, or hold, files of the kind {', '.join(_FORMATS)}")
    parts: dict[str, list[str]] = {"train": [], "validation": []}
    for file in (p for p in files if _FORMATS.get(p.suffix) == kind):
        held_out = _HELD_OUT.search(str(file.relative_to(path))) if split and path.is_dir() else None
        parts["validation" if held_out else "train"].append(str(file))
    if not parts["train"]:
        raise ValueError(f"{setting} is '{path}'; every file there is named as held out, none is left to train on")
    datasets = optional("datasets", f"task {task}", "data")
    try:
        loaded = datasets.load_dataset(kind, data_files={k: v for k, v in parts.items() if v})
    except Exception as error:  # each reader raises other types
        raise unreadable(setting, path, error) from None
    for part, table in loaded.items():
        missing = [c for c in columns if c not in table.column_names]
        if missing:
            raise ValueError(f"{setting} is '{path}'; its {part} files have no column {missing[0]!r}")
    return dict(loaded)
