"""Snapshots as bodies of answers and requests: the files of a snapshot's folder in an uncompressed ZIP file."""

import io
import tempfile
import zipfile
from pathlib import Path

from nounroll.models.snapshot import Snapshot
from nounroll.models.student import Student
from nounroll.storage.checkpoint import FILE_NAME, CheckpointError


def packed(snapshot: Snapshot, network: str) -> bytes:
    """Pack a snapshot of the student with the fingerprint ``network``.

    Raises:
        CheckpointError: the snapshot's memory is not finite.
    """
    with tempfile.TemporaryDirectory() as folder:
        snapshot.write(Path(folder) / "snapshot", network)
        return pack(Path(folder) / "snapshot")


def unpacked(body: bytes, student: Student, network: str) -> Snapshot:
    """Read a snapshot that ``packed`` wrote for this student.

    Raises:
        ValueError: the body is not a snapshot, or it is damaged, not finite, or of another network.
    """
    with tempfile.TemporaryDirectory() as folder:
        unpack(body, Path(folder))
        try:
            return Snapshot.read(Path(folder), student, network)
        except CheckpointError as error:  # the error without the temporary folder's name
            raise ValueError(str(error).replace(folder, "the snapshot")) from error


def pack(folder: Path) -> bytes:
    """Pack all files of a folder into a ZIP file."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return body.getvalue()


def unpack(body: bytes, folder: Path) -> None:
    """Unpack the files of ``pack`` into a folder. The reader of checkpoints checks their contents.

    Raises:
        ValueError: the body is not such a file, or it is compressed, or a file would lie outside the folder.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            entries = archive.infolist()
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
            if not stored or sum(entry.file_size for entry in entries) > len(body):
                raise ValueError("it is compressed")
            for entry in entries:
                if not FILE_NAME.fullmatch(entry.filename):
                    raise ValueError(f"it names the file {entry.filename!r}")
                (folder / entry.filename).write_bytes(archive.read(entry))
    except Exception as error:  # the ZIP reader raises many types for hostile bytes
        raise ValueError("the body is not a snapshot of a session") from error
