"""What a piece of code does beside computing: imports, running code, writing, starting processes, sockets."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_REFUSED = (
    *("import", "exec", "compile", "marshal.", "pickle.", "ctypes.", "code.", "cpython.run_"),
    *("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.kill", "pty."),
    *("socket.", "urllib.", "ftplib.", "http.", "webbrowser."),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.ch", "shutil."),
)
_CHECKERS = ("beartype", "jaxtyping")  # the types checked in tests write their own code
_watching: list[list[str]] = []  # where what is seen goes; nothing is watched while it is empty


def _hook(event: str, given: tuple[Any, ...]) -> None:
    if not _watching or event == "sys._getframe" or _by_a_checker():
        return
    if event == "open":
        _, mode, flags = given
        if (isinstance(mode, str) and set(mode) & set("wax+")) or flags & _WRITES:
            _watching[-1].append(f"open {given}")
    elif event.startswith(_REFUSED):
        _watching[-1].append(f"{event} {given}"[:200])


def _by_a_checker() -> bool:
    """Whether what was done, or the import that did it, is the type checkers' own."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("importlib."):
        frame = frame.f_back
    return frame.f_globals.get("__name__", "").partition(".")[0] in _CHECKERS


with suppress(ImportError):
    importlib.import_module("wadler_lindig._ansi")  # jaxtyping does when it first refuses something
sys.addaudithook(_hook)  # it cannot be taken away again, hence the list


@contextmanager
def watched() -> Iterator[list[str]]:
    """The events of the block that no reader of data has a need for."""
    seen: list[str] = []
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.pop()
