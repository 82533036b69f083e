"""A lock on a folder, which dies with its process, on every system."""

from pathlib import Path

from filelock import FileLock, Timeout


class Held(ValueError):
    """Another process has the lock."""


class Lock:
    """The lock ``.lock`` of a folder, taken at once or not at all.

    Args:
        folder: must be there.

    Raises:
        Held: another process has it.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = FileLock(folder / ".lock", blocking=False, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise Held(f"{folder} is in use by another process") from None

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.release()
