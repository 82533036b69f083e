"""The one opener and the one writer of files in a folder that may come from a stranger.

Only regular files are opened: a link is not followed, a pipe, device or socket is refused before it can block. What is
read is bounded. A file is written beside its place under a new name, fsynced and renamed, so that it is there whole or
not at all, and no link at its place is followed.

A file that is refused is an ``OSError`` whose ``strerror`` says why, as one that the system refuses.
"""

import errno
import os
import re
import secrets
import stat
from collections.abc import Container, Iterator
from pathlib import Path
from typing import BinaryIO

TEXT_LIMIT = 1 << 24  # bytes of a small document; ours have some thousand
LOG_LIMIT = 1 << 28  # bytes of metrics.jsonl: half a million records
_MOST_ENTRIES = 100_000  # of a folder and all below it; a run has some dozen

_SAFE = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_UNFINISHED = re.compile(r"\.(.+)-[0-9a-f]{8}")  # beside the file that it was to become
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def opened(path: Path, *, flags: int = os.O_RDONLY, follow: bool = False, mode: int = 0o666) -> BinaryIO:
    """Open a regular file, for reading when no other ``flags`` are given.

    Args:
        path: of the file.
        flags: of ``os.open``.
        follow: whether the path itself may be a link, since its user has said so.
        mode: of a file that is made.

    Raises:
        OSError: it cannot be opened, or is no regular file.
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
    """The bytes of a regular file, of which there may be ``limit``.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger.
    """
    with opened(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size
        data = b"" if size > limit else file.read(size + 1)  # of no more: room for all of it is taken first
    if max(size, len(data)) > limit:
        raise OSError(errno.EFBIG, f"it holds more than the {limit:,} bytes that are read", str(path))
    return data


def write_bytes(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file whole or not at all, whenever the process or the machine dies.

    Raises:
        OSError: it cannot be written. What was there before is still there.
    """
    beside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with opened(beside, flags=os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=mode) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def remove_unfinished(folder: Path, names: Container[str]) -> None:
    """Remove what processes that died were writing to files of these names. Nobody else may be writing to them."""
    for entry in os.scandir(folder):
        found = _UNFINISHED.fullmatch(entry.name)
        if found and found[1] in names and entry.is_file(follow_symlinks=False):
            os.unlink(entry)


def sync_folder(folder: Path) -> None:
    """Make sure that the names in a folder outlive a loss of power."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_plain(folder: Path) -> None:
    """Refuse a folder in which, or below which, there is anything but regular files and folders.

    Raises:
        ValueError: it names the first such thing.
    """
    for fault in strange(folder):
        raise ValueError(fault)


def strange(folder: Path) -> Iterator[str]:
    """One line for each thing in and below a folder that is neither a regular file nor a folder."""
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
