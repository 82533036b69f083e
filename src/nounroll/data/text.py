"""Text: the bytes of any file or folder, and by default the source code of Python's own standard library."""

import hashlib
import os
import sysconfig
from pathlib import Path

from nounroll.data.corpus import ByteCorpus
from nounroll.data.on_disk import OnDisk, Section
from nounroll.data.sources import existing, unreadable

_FIRST = 8192  # bytes of a file that tell whether it is text
_HELD_OUT = 0.05  # share of a folder's files
_NOT_SOURCE = {
    *("site-packages", "dist-packages", "test", "tests", "idlelib", "encodings", "__pycache__"),
    "pydoc_data",  # 0.75 MB of manual in one file, whose hash is low: it would be most of what is held out
}


class Text(ByteCorpus):
    """The bytes of a file, of a folder's text files, or of Python's standard library, each predicting the next.

    ::

        inputs    d  e  f     f  (  x        bytes, 0..255
        targets   e  f     f  (  x  )        y_t = x_{t+1}

    Of one file the last 10 % are held out. Of several files about 5 % are held out whole, at least one and never
    all, chosen by a hash of their names: the same files on any machine. The first half of what is held out is for
    validation, the second for the test. All of it stays on disk, whatever its size.

    Args:
        path: a file, or a folder: its text files (no zero byte in the first 8 kB, not hidden), in the order of
            their relative names. When None, the .py files of Python's standard library without its tests: about
            9 MB that every machine has, though each version of Python has its own.
    """

    def __init__(self, *, path: str | Path | None = None) -> None:
        if path is None:
            folder = Path(sysconfig.get_paths()["stdlib"])
            train, held_out = _files(folder, ".py", _NOT_SOURCE)
        elif existing("text.path", path).is_dir():
            train, held_out = _files(Path(path), "", set())
        else:
            train, held_out = _file(Path(path)), None
        super().__init__(tokens=train, held_out=held_out, name=f"text.path '{path}'", first=b"\n")


def _file(path: Path) -> OnDisk:
    if _first_bytes(path) == b"":
        raise ValueError(f"text.path is '{path}'; the file is empty, give one that holds text")
    return _text([path])


def _files(folder: Path, suffix: str, without: set[str]) -> tuple[OnDisk, OnDisk | None]:
    """The text below a folder: training part and held-out files (None when there is a single file)."""
    texts: dict[str, Path] = {}

    def fail(error: OSError) -> None:
        raise unreadable("text.path", error.filename, error) from None

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [f for f in folders if f not in without and not f.startswith(".")]
        for path in (Path(parent, n) for n in names if n.endswith(suffix) and not n.startswith(".")):
            start = _first_bytes(path) if path.is_file() else b""
            if start and b"\0" not in start:
                texts[path.relative_to(folder).as_posix()] = path
    if not texts:
        raise ValueError(f"text.path is '{folder}'; the folder holds no text files, give one that does")
    if len(texts) == 1:
        return _text(list(texts.values())), None
    held = _held_out(list(texts))
    train, held_out = (_text([texts[n] for n in sorted(texts) if (n in held) == part]) for part in (False, True))
    return train, held_out


def _text(paths: list[Path]) -> OnDisk:
    return OnDisk("text.path", [Section(path, 0, path.stat().st_size) for path in paths], "uint8")


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FIRST)
    except OSError as error:
        raise unreadable("text.path", path, error) from None


def _held_out(names: list[str]) -> set[str]:
    """The names whose hash is in the lowest 5 % of hashes: one at least, never all."""
    share = {name: int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) / 2**64 for name in names}
    count = sum(s < _HELD_OUT for s in share.values())
    return set(sorted(names, key=share.__getitem__)[: min(max(1, count), len(names) - 1)])
