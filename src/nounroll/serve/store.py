"""Storage of sessions: a folder of snapshots for a server's restart."""

import itertools
from pathlib import Path

from nounroll.models.snapshot import OtherNetwork, Snapshot
from nounroll.models.student import Student
from nounroll.storage import checkpoint
from nounroll.storage.checkpoint import CheckpointError
from nounroll.storage.locks import Held, Lock

_LOCK = ".lock"
_DAMAGED = ".damaged-"


class Store:
    """Folder with one snapshot for each session, readable by its owner only and used by one process at a time.

    Args:
        folder: created if missing.
        student: the student of the sessions.
        network: the student's ``fingerprint``.

    Raises:
        ValueError: the folder cannot be written, holds something else, or another process uses it.
    """

    def __init__(self, folder: Path, student: Student, network: str) -> None:
        self.folder, self._student, self._network = folder, student, network
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if any(folder.iterdir()) and not (folder / _LOCK).exists():
                raise ValueError(f"sessions folder {folder} holds other files; choose an empty one")
            folder.chmod(0o700)  # the folder may be older
            self._lock = Lock(folder)
        except Held as error:
            raise ValueError(f"sessions folder {error}; choose another") from None
        except OSError as error:
            raise ValueError(f"sessions folder {folder} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Release the folder for other processes."""
        self._lock.close()

    def save(self, id: str, snapshot: Snapshot) -> None:
        snapshot.write(self.folder / id, self._network)
        (self.folder / id).chmod(0o700)  # the parent folder kept others out meanwhile

    def remove(self, id: str) -> None:
        checkpoint.remove(self.folder / id)

    def load(self) -> tuple[dict[str, Snapshot], list[str]]:
        """Load the stored sessions by id, set damaged sessions aside, and return one line for each of these.

        Raises:
            OtherNetwork: a session is of another network, so the folder belongs to another server.
        """
        kept, damaged = dict[str, Snapshot](), list[str]()
        for path in checkpoint.named(self.folder):
            if path.name.startswith(_DAMAGED):
                continue
            try:
                kept[path.name] = Snapshot.read(path, self._student, self._network)
            except OtherNetwork:
                raise
            except CheckpointError as error:
                damaged.append(f"{checkpoint.one_line(error)}; set aside as {self._set_aside(path)}")
        return kept, damaged

    def _set_aside(self, path: Path) -> str:
        """Rename a damaged session, so that no server reads it again; return its new name."""
        names = (f"{_DAMAGED}{number}-{path.name}" for number in itertools.count())
        name = next(one for one in names if not (self.folder / one).exists())
        there = path if path.exists() else path.with_name(checkpoint.OLD + path.name)
        try:
            there.rename(self.folder / name)
        except OSError as error:
            raise ValueError(f"session {path} is damaged and cannot be set aside: {error.strerror}") from error
        return name
