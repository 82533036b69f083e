"""What a run tells: metrics.jsonl for programs, a progress bar for people."""

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class MetricsFile:
    """JSON lines, one record each, flushed as they come. ``None`` as path keeps nothing.

    On resume, the records that came after the checkpoint are dropped, so that the file reads as if the run
    had never stopped. A step does not tell which they are: a method's first evaluation has the step of the
    checkpoint before it.

    Args:
        path: of the file.
        keep: how many records to keep of a file that is there.
    """

    def __init__(self, path: Path | None, keep: int = 0) -> None:
        self.path = path
        self.kept: list[dict[str, Any]] = []
        if path is None:
            return
        self.kept = read_records(path)[:keep]
        with path.open("ab") as file:  # cut where it is: that needs no room on a full disk, and a kill loses nothing
            file.truncate(sum(map(len, path.read_bytes().splitlines(keepends=True)[: len(self.kept)])))

    def write(self, record: dict[str, Any]) -> None:
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(record) + "\n")


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of metrics.jsonl, as far as they are whole; none where there is no such file."""
    records = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            records.append(json.loads(line))
        except ValueError:  # the line that the machine died in
            break
    return records


class Bar:
    """One progress bar per method, on stderr: share of the budget, losses, tokens per second, time left."""

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
