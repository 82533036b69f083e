"""Shared parts of the commands: notes on stderr, tables of metrics, and a signal that asks a run to stop."""

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rich.table import Table

from nounroll.core.interrupts import stop_on
from nounroll.core.machine import launched
from nounroll.report.numbers import figure, label


def note(text: str) -> None:
    """Print one line for the user on stderr; only the first of several processes prints it."""
    if not launched()[0]:
        print(text, file=sys.stderr, flush=True)


def watched() -> bool:
    """Return whether a person reads stderr; only then are progress bars shown."""
    return sys.stderr.isatty() and not launched()[0]


def printable(text: str) -> str:
    """Make the text of a network safe for a terminal: control characters are replaced by �."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def check_folder(option: str, path: Path | None) -> None:
    """Raise ValueError if a file is to be written into a folder that does not exist."""
    if path is not None and not path.parent.is_dir():
        raise ValueError(f"{option} is '{path}'; the folder {path.parent} does not exist; create it first")


def say_if_it_differs(run: Path, task: Any, student: Any) -> None:
    """Warn if a task's data differs from the data that the student of a run was trained with."""
    from nounroll.experiments.run_folder import difference

    if said := difference(run, task, student.trained_on):
        note(f"nounroll: {said}")


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """Build a table of names and figures, one pair per line."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in metrics.items():
        table.add_row(label(name, metrics), figure(name, value))
    return table


def last_warning(history: Sequence[Mapping[str, Any]]) -> str:
    """Return the warning of a run's last evaluation, or that nothing was scored; "" if there is none."""
    looks = (record for record in reversed(history) if record["event"] in ("evaluation", "unscored"))
    return next(looks, {}).get("warning", "")


def stop_on_signal() -> AbstractContextManager[Callable[[], bool]]:
    """Let ``stop()`` return True after Ctrl-C or SIGTERM. A second signal ends the process at once."""
    return stop_on([signal.SIGINT, signal.SIGTERM])
