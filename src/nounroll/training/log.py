"""Output of a run: metrics.jsonl for programs, a progress bar for people."""

import json
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nounroll.core.notices import notice
from nounroll.storage.files import LOG_LIMIT, opened, read_bytes, sync_folder, write_bytes
from nounroll.training.counters import Counters

_LOST = {"event": "lost"}  # replaces a record that was lost, for example in a power failure


class MetricsFile:
    """JSON lines file with one record per line, flushed after each. With the path ``None`` nothing is written.

    On resume, the records after the checkpoint are dropped, so that the file reads as if the run had never stopped.
    The step cannot identify them: a method's first evaluation has the step of the checkpoint before it. If a record
    from before the checkpoint is missing or cannot be read, it is replaced by ``{"event": "lost"}`` with a notice, so
    that the file has as many lines as the checkpoint expects.

    Args:
        path: path of the file.
        keep: number of records to keep of an existing file.
    """

    def __init__(self, path: Path | None, keep: int = 0) -> None:
        self.path = path
        self.kept: list[dict[str, Any]] = []
        if path is None:
            return
        data = _read(path)
        lines = data.splitlines()[:keep]
        self.kept = [_parsed(line) or _LOST for line in lines] + [_LOST] * (keep - len(lines))
        if lost := sum(record is _LOST for record in self.kept):
            notice(f"{path} has lost {lost} of the {keep} records that the checkpoint expects; each gap is marked")
            lines = [json.dumps(record).encode() for record in self.kept]
        whole = b"".join(line + b"\n" for line in lines)
        if data.startswith(whole):  # truncating needs no disk space, and a kill loses nothing
            with self._appended() as file:
                file.truncate(len(whole))
        else:
            write_bytes(path, whole)

    def write(self, record: dict[str, Any]) -> None:
        if self.path is not None:
            with self._appended() as file:
                file.write((json.dumps(record) + "\n").encode())

    def sync(self) -> None:
        """Flush the records to disk before a checkpoint that depends on them."""
        if self.path is not None and self.path.exists():
            with self._appended() as file:
                os.fsync(file.fileno())
            sync_folder(self.path.parent)

    def _appended(self) -> BinaryIO:
        assert self.path is not None
        return opened(self.path, flags=os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read the complete records of metrics.jsonl; empty if there is no such file."""
    records = []
    for line in _read(path).splitlines():
        if (record := _parsed(line)) is None:
            break
        records.append(record)
    return records


def _read(path: Path) -> bytes:
    return read_bytes(path, LOG_LIMIT) if path.exists() else b""


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Parse a record; None for a broken line, such as the last one before a power failure."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "event" in record else None


class Bar:
    """Progress bar of a method, on stderr: share of the budget, losses, tokens per second, time left."""

    def __init__(self, visible: bool) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description:>5}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            disable=not visible,
        )
        self._task: Any = None

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def start(self, name: str) -> None:
        self._task = self._progress.add_task(name, total=1.0, status="")

    def update(self, progress: float, status: str) -> None:
        self._progress.update(self._task, completed=min(progress, 1.0), status=status)


def status(losses: dict[str, float] | None, counters: Counters) -> str:
    """Format a step's loss and throughput for the bar; losses are None for a skipped step, {} without learning."""
    rate = counters.spent("tokens") / max(counters.spent("seconds"), 1e-9)
    if losses is None:
        return "step skipped: not finite"
    return f"loss {losses['loss']:.3f}  {rate:,.0f} tok/s" if losses else "step read: nothing is scored"
