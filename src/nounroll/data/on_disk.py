"""Numbers on disk: concatenated files as one array that is read only where requested."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nounroll.data.files import opened, unreadable


@dataclass(frozen=True)
class Section:
    """Section of a file: ``count`` numbers from the byte ``offset`` on."""

    path: Path
    offset: int
    count: int


class OnDisk:
    """Sections of files as one 1-D array. A slice of it is a view, which ``numpy.asarray`` reads.

    Read values are not kept, so the memory of a process does not grow as it does with the touched pages of a memory
    map. The operating system's cache makes a second read fast.

    Args:
        setting: the setting's name in errors.
        sections: non-empty sections in order.
        dtype: type of the numbers.
    """

    ndim = 1

    def __init__(self, setting: str, sections: Sequence[Section], dtype: Any) -> None:
        self._setting, self._sections, self.dtype = setting, sections, np.dtype(dtype)
        self._ends = np.cumsum([section.count for section in sections], dtype=np.int64)
        self._start, self._stop = 0, int(self._ends[-1])

    def __len__(self) -> int:
        return self._stop - self._start

    @property
    def shape(self) -> tuple[int]:
        return (len(self),)

    @property
    def size(self) -> int:
        return len(self)

    def __getitem__(self, span: slice) -> "OnDisk":
        start, stop, step = span.indices(len(self))
        assert step == 1
        view = copy.copy(self)
        view._start, view._stop = self._start + start, self._start + max(start, stop)
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read the numbers.

        Raises:
            ValueError: a file can no longer be read, or has become shorter.
        """
        found, place = np.empty(len(self), self.dtype), self._start
        index = int(np.searchsorted(self._ends, place, side="right"))
        while place < self._stop:
            end = min(int(self._ends[index]), self._stop)
            found[place - self._start : end - self._start] = self._read(index, place, end - place)
            place, index = end, index + 1
        return found if dtype is None else found.astype(dtype)

    def _read(self, index: int, place: int, count: int) -> np.ndarray:
        """Read numbers of one section, from ``place`` in the whole array on."""
        section = self._sections[index]
        skipped = place - (int(self._ends[index]) - section.count)
        start = section.offset + skipped * self.dtype.itemsize
        try:
            with opened(self._setting, section.path) as file:
                found = np.fromfile(file, self.dtype, count, offset=start)
        except OSError as error:
            raise unreadable(self._setting, section.path, error) from None
        if len(found) < count:
            raise ValueError(
                f"{self._setting} is '{section.path}'; the file is shorter than when it was opened: restore it"
            )
        return found


class RowsOnDisk:
    """Numbers on disk as rows. A slice is a view, which ``numpy.asarray`` reads.

    Args:
        numbers: the concatenated rows.
        width: length of a row.
    """

    ndim = 2

    def __init__(self, numbers: OnDisk, width: int) -> None:
        self._numbers, self._width, self.dtype = numbers, width, numbers.dtype

    def __len__(self) -> int:
        return len(self._numbers) // self._width

    @property
    def shape(self) -> tuple[int, int]:
        return (len(self), self._width)

    @property
    def size(self) -> int:
        return len(self._numbers)

    def __getitem__(self, span: slice) -> "RowsOnDisk":
        start, stop, step = span.indices(len(self))
        assert step == 1
        return RowsOnDisk(self._numbers[start * self._width : stop * self._width], self._width)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read the numbers (see ``OnDisk``)."""
        return self._numbers.__array__(dtype).reshape(-1, self._width)


Elements: TypeAlias = np.ndarray | OnDisk | RowsOnDisk


def on_disk(setting: str, array: np.ndarray) -> Elements:
    """Convert a memory map of a file to numbers that are read on request; return any other array unchanged.

    Args:
        setting: its name in errors.
        array: an array with one or two axes. A non-contiguous part of a memory map is returned unchanged.
    """
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or root.filename is None or root.mode == "c":  # mode "c" has changes in memory
        return array
    if not array.flags.c_contiguous or not array.size:
        return array
    offset = root.offset + array.ctypes.data - root.ctypes.data
    numbers = OnDisk(setting, [Section(Path(root.filename), offset, array.size)], array.dtype)
    return numbers if array.ndim == 1 else RowsOnDisk(numbers, array.shape[1])
