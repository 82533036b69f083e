"""Safe reading and writing of files in a folder that may come from a stranger.

Only regular files are opened: links are not followed; pipes, devices and sockets are refused before they can block.
Reads are limited in size. A file is written under a temporary name, fsynced and renamed, so that the write is atomic
and does not follow a link at its place.

A refused file raises ``OSError``, like a file that the system refuses; its ``strerror`` gives the reason.
"""

import errno
import os
import re
import secrets
import stat
from collections.abc import Container, Iterator
from pathlib import Path
from typing import BinaryIO

TEXT_LIMIT = 1 << 24  # bytes of a small document; those of this project have a few thousand
LOG_LIMIT = 1 << 28  # bytes of metrics.jsonl: half a million records
_MOST_ENTRIES = 100_000  # entries of a folder and its subfolders; a run has a few dozen

_SAFE = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_UNFINISHED = re.compile(r"\.(.+)-[0-9a-f]{8}")  # name of a temporary file: the final name, and a random suffix
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def opened(path: Path, *, flags: int = os.O_RDONLY, follow: bool = False, mode: int = 0o666) -> BinaryIO:
    """Open a regular file; the default ``flags`` open it for reading.

    Args:
        path: path of the file.
        flags: flags of ``os.open``.
        follow: the path itself may be a link, because the user has given it.
        mode: permissions of a new file.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
    """
    creates = flags & os.O_CREAT
    try:
        _refuse_strange(path, os.stat(path, follow_symlinks=follow).st_mode)
    except FileNotFoundError:
        if not creates or path.is_symlink():
            raise
    descriptor = os.open(path, flags | (_SAFE & ~getattr(os, "O_NOFOLLOW", 0) if follow else _SAFE), mode)
    try:
        _refuse_strange(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "ab" if flags & os.O_APPEND else "wb" if flags & os.O_WRONLY else "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _refuse_strange(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}; only regular files are read and written", str(path))


def read_bytes(path: Path, limit: int = TEXT_LIMIT, *, follow: bool = False) -> bytes:
    """Read a regular file of at most ``limit`` bytes.

    Raises:
        OSError: the file cannot be read, is not a regular file, or is larger.
    """
    with opened(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size
        data = b"" if size > limit else file.read(size + 1)  # read(n) allocates n bytes first
    if max(size, len(data)) > limit:
        raise OSError(errno.EFBIG, f"it holds more than the {limit:,} bytes that are read", str(path))
    return data


def write_bytes(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file atomically, even if the process or the machine dies.

    Raises:
        OSError: the file cannot be written. The previous file is still there.
    """
    beside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with opened(beside, flags=os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=mode) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        sync_folder(path.parent)
    except OSError as error:
        if error.filename == str(beside):
            error.filename = str(path)  # the user named this one
        raise
    finally:
        beside.unlink(missing_ok=True)


def remove_unfinished(folder: Path, names: Container[str]) -> None:
    """Remove unfinished files with these final names, left by processes that died. No process may be writing them."""
    for entry in os.scandir(folder):
        found = _UNFINISHED.fullmatch(entry.name)
        if found and found[1] in names and entry.is_file(follow_symlinks=False):
            os.unlink(entry)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, so that they survive a loss of power."""
    if os.name != "posix":  # other systems cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_plain(folder: Path) -> None:
    """Refuse a folder that contains anything but regular files and folders, at any depth.

    Raises:
        ValueError: the folder does; the message names the first such entry.
    """
    for fault in strange(folder):
        raise ValueError(fault)


def strange(folder: Path) -> Iterator[str]:
    """Describe, in one line each, the entries of a folder at any depth that are neither regular files nor folders."""
    waiting, entries = [folder], 0
    while waiting:
        inside = waiting.pop()
        try:
            found = sorted(os.scandir(inside), key=lambda entry: entry.name)
        except OSError as fault:
            yield f"{inside} cannot be looked into ({fault.strerror})"
            continue
        entries += len(found)
        if entries > _MOST_ENTRIES:
            yield f"{folder} holds more than {_MOST_ENTRIES:,} files; it is no run's"
            return
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry))
            elif not entry.is_file(follow_symlinks=False):
                kind = _KINDS.get(stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode), "something else")
                yield f"{entry.path} is {kind}; the folder may hold regular files and folders alone, remove it"
