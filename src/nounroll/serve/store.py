"""Sessions on disk: a folder of snapshots, from which a server that died goes on."""

from collections.abc import Iterator
from pathlib import Path

from nounroll import checkpoint
from nounroll.locks import Held, Lock
from nounroll.snapshot import Snapshot
from nounroll.student import Student


class Store:
    """A folder with one snapshot for each session; one process at a time uses it.

    Args:
        folder: made where it is not there.
        student: whose memories they are.
        network: its ``fingerprint``.

    Raises:
        ValueError: the folder cannot be written, or another process uses it.
    """

    def __init__(self, folder: Path, student: Student, network: str) -> None:
        self.folder, self._student, self._network = folder, student, network
        try:
            folder.mkdir(parents=True, exist_ok=True)
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

    def remove(self, id: str) -> None:
        checkpoint.remove(self.folder / id)

    def load(self) -> Iterator[tuple[str, Snapshot]]:
        """Every session that was kept.

        Raises:
            CheckpointError: one of them is damaged, or of another network.
        """
        for path in checkpoint.named(self.folder):
            yield path.name, Snapshot.read(path, self._student, self._network)
