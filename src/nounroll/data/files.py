"""Files of data: regular ones alone, read and unpacked within a limit. Every fault is a one-line ValueError."""

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

MOST = 2**28  # bytes of a file that are held in memory, unpacked: 256 MiB
PIECE = 2**20
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, NotImplementedError)


class NotText(ValueError):
    """Error: a file is no text in UTF-8, and its kind.

    Args:
        setting: whose value the path is.
        path: of the file.
        found: what it is, in a few words.
    """

    def __init__(self, setting: str, path: object, found: str) -> None:
        super().__init__(
            f"{setting} is '{path}'; it is not text in UTF-8 ({found}); convert or unpack it, or give another file"
        )
        self.found = found


def existing(setting: str, path: object) -> Path:
    """The path, or a ValueError when there is nothing."""
    _mode(setting, path)
    return Path(path)  # type: ignore[arg-type]  # it has been looked at


def regular(setting: str, path: object) -> Path:
    """The path of a regular file: a pipe or a device is refused before it is opened, since that may never return."""
    mode = _mode(setting, path)
    if stat.S_ISDIR(mode):
        raise unreadable(setting, path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    if not stat.S_ISREG(mode):
        raise ValueError(f"{setting} is '{path}'; it is a pipe or a device, give a file")
    return Path(path)  # type: ignore[arg-type]  # it has been looked at


def _mode(setting: str, path: object) -> int:
    """Return the mode of the file at a path, at the end of its links."""
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
    """A regular file, open for reading bytes."""
    try:
        return files.opened(regular(setting, path), follow=True)
    except OSError as error:
        raise unreadable(setting, path, error) from None


def read_bytes(setting: str, path: str | Path) -> bytes:
    """A file's bytes, unpacked if it is a gzip, bzip2 or xz, or a zip archive of one file: ``MOST`` of them at most."""
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
    """The one file of a zip archive."""
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
    """The files below a folder that are not hidden, and the links that were not followed, with where they lead.

    A link to a file or a folder that is read anyhow is left alone, so that nothing is read twice; one to a hidden file
    of the same folder is followed. Links out of the folder, or to nothing, are not.
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
    """Return the place in the folder that a link leads to; None when it leads out of it or to nothing."""
    target = Path(os.path.realpath(link))
    return target.relative_to(root) if target.is_relative_to(root) and target.exists() else None


def first_names(names: list[str]) -> str:
    """The first names of a list in one line, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def unreadable(setting: str, path: object, error: Exception) -> ValueError:
    """The error for a file that is there and yet does not give its content."""
    return ValueError(f"{setting} is '{path}'; it cannot be read ({reason(error)})")


def reason(error: BaseException) -> str:
    """The first line of the error at the bottom, without the path that the message has already."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = (getattr(error, "strerror", None) or str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__
