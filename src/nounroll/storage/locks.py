"""Lock on a folder, released when its process ends, on every system."""

from pathlib import Path

from filelock import FileLock, Timeout


class Held(ValueError):
    """Error: another process has the lock."""


class Lock:
    """Lock file ``.lock`` of a folder, acquired immediately or not at all.

    Args:
        folder: an existing folder.

    Raises:
        Held: another process has the lock.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = FileLock(folder / ".lock", blocking=False, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise Held(f"{folder} is in use by another process") from None

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()
