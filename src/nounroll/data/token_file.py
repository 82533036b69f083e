"""Files of tokens: a .npy array, or bare numbers as nanoGPT and llm.c write them."""

from pathlib import Path

import numpy as np

from nounroll.core.notices import notice
from nounroll.data.encoding import kind_of
from nounroll.data.files import opened, regular, unreadable
from nounroll.data.on_disk import OnDisk, Section

_DTYPES = ("uint8", "uint16", "uint32", "int16", "int32", "int64")
_GUESS = "uint16"  # the type of nanoGPT's files
_LOOKED_AT = 1 << 16  # first bytes, to check the guess
_HEADER = 1024  # llm.c's header: 256 int32; the first three are the two below and the number of tokens
_LLM_C = {(20240520, 1): "uint16", (20240801, 7): "uint32"}


def load_tokens(setting: str, path: str | Path, dtype: str | None) -> np.ndarray | OnDisk:
    """Open the whole numbers of a file: 1-D on disk, or 2-D and memory-mapped.

    Args:
        setting: the setting's name in errors.
        path: a .npy file, or bare numbers in a .bin file or in any file with a ``dtype``.
        dtype: type of bare numbers; None guesses it and gives a notice.
    """
    if dtype not in (None, *_DTYPES):
        raise ValueError(f"array.dtype is {dtype!r}; it must be one of {', '.join(_DTYPES)}")
    found = regular(setting, path)
    with opened(setting, found) as file:
        start = file.read(_LOOKED_AT)
    is_array = start.startswith(b"\x93NUMPY")
    if is_array and dtype is not None:
        raise ValueError(
            f"array.dtype is {dtype}; {setting} '{path}' is a .npy file, which has its own dtype: leave it out"
        )
    if is_array or (found.suffix != ".bin" and dtype is None):
        return _npy(setting, path, found)
    offset, dtype = _kind(setting, path, found, start, dtype)
    size = np.dtype(dtype).itemsize
    count, rest = divmod(found.stat().st_size - offset, size)
    if rest or not count:
        raise ValueError(
            f"{setting} is '{path}' of {found.stat().st_size} bytes; that is not a multiple of the {size} bytes of"
            f" {dtype}: set array.dtype"
        )
    return OnDisk(setting, [Section(found, offset, count)], dtype)


def _npy(setting: str, path: str | Path, found: Path) -> np.ndarray | OnDisk:
    try:
        tokens = np.load(found, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a broken header can raise many types
        raise unreadable(setting, path, error) from None
    if not isinstance(tokens, np.ndarray):
        raise ValueError(f"{setting} is '{path}'; it is an archive of arrays, give one .npy file")
    if tokens.dtype.kind not in "iu" or tokens.ndim not in (1, 2) or tokens.size == 0:
        raise ValueError(
            f"{setting} is '{path}', {tokens.dtype} of shape {tokens.shape};"
            " it must be a 1-D or 2-D array of integers that is not empty"
        )
    if tokens.ndim == 1 and isinstance(tokens, np.memmap):
        return OnDisk(setting, [Section(found, tokens.offset, len(tokens))], tokens.dtype)
    return tokens


def _kind(setting: str, path: str | Path, found: Path, start: bytes, dtype: str | None) -> tuple[int, str]:
    """Find the start and the type of the numbers in a bare file: given, by its header, or guessed with a notice."""
    if len(start) >= _HEADER:
        magic, version, count = np.frombuffer(start, "<i4", 3).tolist()
        said = _LLM_C.get((magic, version))
        if said and found.stat().st_size == _HEADER + count * np.dtype(said).itemsize:
            if dtype not in (None, said):
                raise ValueError(f"array.dtype is {dtype}; the header of {setting} '{path}' says {said}, leave it out")
            return _HEADER, said
    if dtype is not None:
        return 0, dtype
    if other := _other(start):
        raise ValueError(f"{setting} is '{path}'; it seems to be {other}, set array.dtype or give a file of tokens")
    notice(
        f"{setting} is '{path}'; its numbers are read as {_GUESS}, as nanoGPT writes them. Set array.dtype to say so"
    )
    return 0, _GUESS


def _other(start: bytes) -> str:
    """Name another plausible kind of a file; "" if it looks like tokens of the guessed type."""
    if kind := kind_of(start):
        return kind
    if start and b"\0" not in start and _is_text(start):
        return "text, which task.kind text reads"
    words = np.frombuffer(start, "<u2", len(start) // 8 * 4)
    if words.any() and not words[1::2].any():
        return "of type int64" if not words[2::4].any() else "of type uint32"
    return ""


def _is_text(start: bytes) -> bool:
    try:
        start[:-4].decode()
    except UnicodeDecodeError as error:
        return error.end == len(start) - 4 and error.reason == "unexpected end of data"
    return True
