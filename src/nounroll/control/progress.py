"""Progress bar on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance: TypeAlias = Callable[[], None]


@contextmanager
def progress_bar(name: str, total: int, *, visible: bool) -> Iterator[Advance]:
    """Show a bar, and give a function that advances it by one."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), disable=not visible) as bar:
        task = bar.add_task(name, total=total)
        yield lambda: bar.advance(task)
