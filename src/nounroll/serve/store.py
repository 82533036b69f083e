"""Sessions on disk: a folder of snapshots, from which a server restarts."""

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
    """A folder with one snapshot for each session, for its owner alone; one process at a time uses it.

    Args:
        folder: made where it is not there; a folder that holds something else is refused.
        student: whose memories they are.
        network: its ``fingerprint``.

    Raises:
        ValueError: the folder cannot be written, holds something else, or another process uses it.
    """

    def __init__(self, folder: Path, student: Student, network: str) -> None:
        self.folder, self._student, self._network = folder, student, network
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if any(folder.iterdir()) and not (folder / _LOCK).exists():
                raise ValueError(f"sessions folder {folder} holds other files; choose an empty one")
            folder.chmod(0o700)  # it may be there since before
            self._lock = Lock(folder)
        except Held as error:
            raise ValueError(f"sessions folder {error}; choose another") from None
        except OSError as error:
            raise ValueError(f"sessions folder {folder} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    def save(self, id: str, snapshot: Snapshot) -> None:
        snapshot.write(self.folder / id, self._network)
        (self.folder / id).chmod(0o700)  # the folder around it has kept others out meanwhile

    def remove(self, id: str) -> None:
        checkpoint.remove(self.folder / id)

    def load(self) -> tuple[dict[str, Snapshot], list[str]]:
        """Every session that was kept, by id; and a line for each that is damaged, which is set aside.

        Raises:
            OtherNetwork: one of them is of another network: the folder is another server's.
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
        """Rename a damaged session, so that no server reads it again; its new name."""
        names = (f"{_DAMAGED}{number}-{path.name}" for number in itertools.count())
        name = next(one for one in names if not (self.folder / one).exists())
        there = path if path.exists() else path.with_name(checkpoint.OLD + path.name)
        try:
            there.rename(self.folder / name)
        except OSError as error:
            raise ValueError(f"session {path} is damaged and cannot be set aside: {error.strerror}") from error
        return name
