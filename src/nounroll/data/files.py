"""Data files: only regular files are read, with a limit on size. Every fault is a one-line ValueError."""

import bz2
import errno
import gzip
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from nounroll.storage import files

MOST = 2**28  # largest decompressed size in bytes of a file in memory: 256 MiB
PIECE = 2**20
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, NotImplementedError)


class NotText(ValueError):
    """Error: a file is not UTF-8 text; the message has its kind.

    Args:
        setting: the setting's name.
        path: the file.
        found: a short description of its kind.
    """

    def __init__(self, setting: str, path: object, found: str) -> None:
        super().__init__(
            f"{setting} is '{path}'; it is not text in UTF-8 ({found}); convert or unpack it, or give another file"
        )
        self.found = found


def existing(setting: str, path: object) -> Path:
    """Return the path; raise ValueError if it does not exist."""
    _mode(setting, path)
    return Path(path)  # type: ignore[arg-type]  # it has been looked at


def regular(setting: str, path: object) -> Path:
    """Return the path of a regular file; refuse pipes and devices, because opening them may block."""
    mode = _mode(setting, path)
    if stat.S_ISDIR(mode):
        raise unreadable(setting, path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    if not stat.S_ISREG(mode):
        raise ValueError(f"{setting} is '{path}'; it is a pipe or a device, give a file")
    return Path(path)  # type: ignore[arg-type]  # it has been looked at


def _mode(setting: str, path: object) -> int:
    """Return the mode of the file at a path, following links."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{setting} is {path!r}; it must be the path of a file or folder")
    try:
        return os.stat(path).st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise ValueError(f"{setting} is '{path}'; there is no such file or folder") from None
        raise unreadable(setting, path, error) from None
    except ValueError as error:  # a zero byte in the name
        raise unreadable(setting, path, error) from None


def opened(setting: str, path: object) -> BinaryIO:
    """Open a regular file for reading bytes."""
    try:
        return files.opened(regular(setting, path), follow=True)
    except OSError as error:
        raise unreadable(setting, path, error) from None


def read_bytes(setting: str, path: str | Path) -> bytes:
    """Read a file's bytes, at most ``MOST``; decompress gzip, bzip2, xz, and zip archives of one file."""
    found = bytearray()
    try:
        with opened(setting, path) as file:
            stream = unpacker(setting, path, file)
            while piece := stream.read(PIECE):
                found += piece
                if len(found) > MOST:
                    raise ValueError(
                        f"{setting} is '{path}'; it holds more than the {MOST >> 20} MiB that are read into"
                        " memory; give a smaller file"
                    )
    except DAMAGED as error:
        raise unreadable(setting, path, error) from None
    return bytes(found)


def unpacker(setting: str, path: object, file: BinaryIO) -> Any:
    start = file.read(10)
    file.seek(0)
    for magic, unpack in _PACKED.items():
        if re.match(magic, start):
            return unpack(setting, path, file)
    return file


def _single_member(setting: str, path: object, file: BinaryIO) -> Any:
    """Open the only file of a zip archive."""
    archive = zipfile.ZipFile(file)
    members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        raise NotText(setting, path, f"a zip archive of {len(members)} files")
    return archive.open(members[0])


_PACKED: dict[bytes, Callable[[str, object, BinaryIO], Any]] = {
    rb"\x1f\x8b": lambda setting, path, file: gzip.GzipFile(fileobj=file),
    rb"BZh[1-9]1AY&SY": lambda setting, path, file: bz2.BZ2File(file),
    rb"\xfd7zXZ\x00": lambda setting, path, file: lzma.LZMAFile(file),  # noqa: SIM115  # the file below is closed
    rb"PK\x03\x04": _single_member,
}


def files_below(setting: str, folder: Path, without: set[str] | None = None) -> tuple[list[Path], list[str]]:
    """List the non-hidden files below a folder, and the links that were not followed, with their destinations.

    A link to a file or folder that is already read is ignored, so that no file is read twice. A link to a hidden file
    of the same folder is followed. Links out of the folder and broken links are not followed.
    """
    root, found, links = os.path.realpath(folder), list[Path](), list[str]()

    def fail(error: OSError) -> None:
        raise unreadable(setting, error.filename, error) from None

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in (without or ()))
        for name in [*(f for f in folders if Path(parent, f).is_symlink()), *names]:
            path = Path(parent, name)
            if name.startswith("."):
                continue
            if not path.is_symlink():
                found += [path] if path.is_file() else []
            elif (place := _inside(root, path)) is None:
                links.append(f"{path.relative_to(folder)} (a link to {os.readlink(path)})")
            elif path.is_file() and any(part.startswith(".") for part in place.parts):
                found.append(path)
    return sorted(found), links


def _inside(root: str, link: Path) -> Path | None:
    """Return the destination of a link in the folder; None if it leads out of the folder or is broken."""
    target = Path(os.path.realpath(link))
    return target.relative_to(root) if target.is_relative_to(root) and target.exists() else None


def first_names(names: list[str]) -> str:
    """Join the first names of a list in one line, with the number of the others."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def unreadable(setting: str, path: object, error: Exception) -> ValueError:
    """Build the error for an existing file that cannot be read."""
    return ValueError(f"{setting} is '{path}'; it cannot be read ({reason(error)})")


def reason(error: BaseException) -> str:
    """Return the first line of the root error, without the path, which the message already has."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = (getattr(error, "strerror", None) or str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__
