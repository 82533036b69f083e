"""Signals that ask a run to stop with a checkpoint."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_on(numbers: Sequence[int]) -> Iterator[Callable[[], bool]]:
    """Let ``stop()`` return True after the first of these signals. A second signal has its usual effect."""
    asked: list[int] = []
    former = {number: signal.getsignal(number) for number in numbers}

    def ask(number: int, frame: Any) -> None:
        asked.append(number)
        restore()

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    for number in former:
        signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        restore()


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Let ``stop()`` return True after Ctrl-C, if Ctrl-C would raise KeyboardInterrupt here by default."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    with stop_on([signal.SIGINT]) as stop:
        yield stop
