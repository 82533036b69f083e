"""Verification of a run's folder: every file is checked; nothing is changed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from nounroll.experiments.auto import Chosen
from nounroll.experiments.run_folder import DATA, check_run, open_run, read_kept, way_on
from nounroll.experiments.start import START, Start
from nounroll.methods import TRANSFORMER
from nounroll.storage import checkpoint, files

_MOST = 20  # largest number of unexpected files that are named


@dataclass
class Verified:
    """Result of ``verify``: the checked files and their faults.

    Attributes:
        folders: checkpoints and models that were read completely.
        files, size: number and bytes of their files and the run's own files.
        faults: one line each, naming the file; empty if there is none.
    """

    folders: int = 0
    files: int = 0
    size: int = 0
    faults: list[str] = field(default_factory=list)


def verify(folder: str | Path) -> Verified:
    """Check every checkpoint and every model of a run against its manifest, and that the other files can be read.

    Raises:
        ValueError: the folder holds no run.
    """
    folder, found = Path(folder), Verified()
    check_run(folder)
    found.faults += islice(files.strange(folder), _MOST)
    if found.faults:  # a link, a pipe or a device: open no file
        return found
    recipe = _look(found, lambda: open_run(folder)[0], folder / "recipe.yaml")
    records = _look(found, lambda: list(_records(folder / "metrics.jsonl")), folder / "metrics.jsonl") or []
    if (folder / DATA).exists():
        _look(found, lambda: read_kept(folder), folder / DATA)
    if (chosen := folder / "chosen.json").exists():
        _look(found, lambda: Chosen.read(folder), chosen)
    if (start := folder / START).exists():
        _look(found, lambda: Start.read(folder), *_files(start))
    figures = folder / "metrics.json"
    if figures.exists():  # the run has finished
        _look(found, lambda: checkpoint.parse_document(files.read_bytes(figures)), figures)
        model = folder / (TRANSFORMER if recipe and recipe.method == TRANSFORMER else "student")
        _look(found, lambda: checkpoint.read(model), *_files(model))
    for step in checkpoint.every(folder / "checkpoints"):
        _look(found, lambda step=step: _check_step(step, len(records)), *_files(step))
    return found


def _look(found: Verified, read: Callable[[], Any], *files: Path) -> Any:
    """Return the result of ``read``; None if it fails, and record the fault."""
    found.folders += len(files) > 1
    present = [file for file in files if file.is_file()]
    found.files, found.size = found.files + len(present), found.size + sum(file.stat().st_size for file in present)
    try:
        return read()
    except (ValueError, OSError, RecursionError) as fault:
        text = checkpoint.one_line(fault)
        found.faults.append(text if str(files[0].parent) in text else f"{files[0]}: {text}")
        return None


def _files(folder: Path) -> list[Path]:
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return inside or [folder / checkpoint.MANIFEST, folder]


def _records(path: Path) -> Iterator[dict[str, Any]]:
    data = files.read_bytes(path, files.LOG_LIMIT) if path.exists() else b""
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            yield dict(checkpoint.parse_document(line))
        except (ValueError, TypeError, RecursionError) as fault:
            raise ValueError(f"{path}, line {number} cannot be read: {checkpoint.one_line(fault)}") from None
    if data[-1:] not in (b"", b"\n"):
        raise ValueError(f"{path} ends within a line, as after a kill; repair it with: {way_on(path.parent)}")


def _check_step(folder: Path, records: int) -> None:
    counters = checkpoint.read(folder)[1].get("counters")
    if not isinstance(counters, dict) or not isinstance(counters.get("records"), int):
        raise ValueError(f"{folder} holds no counters; it is not a checkpoint of a run")
    if counters.get("records", 0) > records:
        lines = f"metrics.jsonl has {records} lines that can be read"
        raise ValueError(f"{folder} was written after {counters['records']} lines; {lines}")
