"""A snapshot as the body of one answer or request: its folder's files in a ZIP file without compression."""

import io
import tempfile
import zipfile
from pathlib import Path

from nounroll.models.snapshot import Snapshot
from nounroll.models.student import Student
from nounroll.storage.checkpoint import FILE_NAME, CheckpointError


def packed(snapshot: Snapshot, network: str) -> bytes:
    """A snapshot of the student with this ``fingerprint``.

    Raises:
        CheckpointError: its memory is not finite.
    """
    with tempfile.TemporaryDirectory() as folder:
        snapshot.write(Path(folder) / "snapshot", network)
        return pack(Path(folder) / "snapshot")


def unpacked(body: bytes, student: Student, network: str) -> Snapshot:
    """The snapshot that ``packed`` wrote of this student.

    Raises:
        ValueError: it is none, damaged, not finite, or of another network.
    """
    with tempfile.TemporaryDirectory() as folder:
        unpack(body, Path(folder))
        try:
            return Snapshot.read(Path(folder), student, network)
        except CheckpointError as error:  # without the name of the folder, which is nobody's
            raise ValueError(str(error).replace(folder, "the snapshot")) from error


def pack(folder: Path) -> bytes:
    """All files of a folder."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return body.getvalue()


def unpack(body: bytes, folder: Path) -> None:
    """The files of ``pack``, into a folder. What they say is for the reader of checkpoints to check.

    Raises:
        ValueError: it is no such file; one that would grow as it is unpacked, or leave the folder, is none either.
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
    except Exception as error:  # whatever the reader makes of hostile bytes
        raise ValueError("the body is no snapshot of a session") from error
