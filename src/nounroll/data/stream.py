"""Stream: one long sequence in an array or a memory map, read in order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from nounroll.core.batch import Batch, Categorical, Real, Space
from nounroll.data.checks import blocks, largest_symbol
from nounroll.data.corpus import Windows, split_tail
from nounroll.data.on_disk import Elements, on_disk

_UNSCORED = -100  # missing class; other targets use nan


class Stream(Windows):
    """One long series. Each row of a batch reads a part of it in order, and keeps its memory from batch to batch.

    ::

        series    d_0 ... d_p ... d_{p+T} ... d_{p+2T} ...        a row begins at p, and reads on from batch to batch
        targets   d_{p+1} ...                                     the next element, or the given targets

    After the last step a row restarts at the first, from m_∅. There is no other reset, so the memory is carried across
    epochs. A memory map (``numpy.load(path, mmap_mode="r")``, ``numpy.memmap``) stays on disk, and parts are read when
    needed. The last ``held_out`` of the series is held out: its first half for validation, its second for the test.

    Args:
        series: (N,) whole numbers, symbols 0 .. the largest; or (N,) or (N, d) real numbers.
        targets: one target for each element, in either form, with nan, or -100 among whole numbers, for no target. None
            for the next element.
        held_out: held-out share of the series.
    """

    def __init__(self, series: np.ndarray, targets: np.ndarray | None = None, *, held_out: float = 0.1) -> None:
        inputs, space = _checked("series", series)
        parts = split_tail("series", inputs, held_out)
        super().__init__(train=parts[0], held_out=parts[1], space=space, stream=True)
        self._targets = self._held_targets = None
        if targets is not None:
            wanted, self.targets = _checked("targets", targets, may_miss=True)
            if len(wanted) != len(inputs):
                raise ValueError(f"targets has {len(targets)} elements and series {len(series)}; they must be equal")
            self.autoregressive = False
            self._targets, self._held_targets = split_tail("targets", wanted, held_out)
            self.max_length = self._steps

    @property
    def _steps(self) -> int:
        return len(self._data) - (self._targets is None)

    def _windows(self, starts: Sequence[int], length: int) -> Batch:
        if self._targets is None:
            return Batch.next_step(_read(self._data, starts, length + 1))
        targets = _read(self._targets, starts, length)
        return Batch(_read(self._data, starts, length), targets, ~missing(targets))

    def stored(self) -> tuple[Any, ...]:
        wanted = () if self._targets is None else (self._targets, self._held_targets)
        return (*super().stored(), *wanted)

    def _over(self, part: slice) -> "Stream":
        sibling = super()._over(part)
        assert isinstance(sibling, Stream)
        if self._held_targets is not None:
            sibling._targets = self._held_targets[part]
            sibling.max_length = sibling._steps
        return sibling


def _read(array: Elements, starts: Sequence[int], length: int) -> Shaped[Tensor, "B T *x"]:
    """Read windows of an array: symbols, or vectors of real numbers."""
    found = np.stack([np.asarray(array[start : start + length]) for start in starts])
    if found.dtype.kind == "f":
        return torch.from_numpy(found.astype(np.float32).reshape(*found.shape[:2], -1))
    return torch.from_numpy(found.astype(np.int64))


def missing(values: Shaped[Tensor, "B T *y"]) -> Bool[Tensor, "B T"]:
    """Mark the steps without a target: nan, or -100 among whole numbers."""
    if not values.is_floating_point():
        return values == _UNSCORED
    return values.isnan().any(-1)


def _checked(name: str, array: Any, *, may_miss: bool = False) -> tuple[Elements, Space]:
    """Check an array, which stays on disk if it is a memory map, and infer its space.

    Raises:
        ValueError: the array is not a series, or holds invalid values.
    """
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} is a {type(array).__name__}; it must be a NumPy array, a memory map for a long one")
    whole, real = array.dtype.kind in "iu", array.dtype.kind == "f"
    if not (whole and array.ndim == 1) and not (real and array.ndim in (1, 2)):
        raise ValueError(
            f"{name} is {array.dtype} of shape {array.shape}; it must be whole numbers of shape (N,),"
            " or real numbers of shape (N,) or (N, d)"
        )
    if not array.size:
        raise ValueError(f"{name} is empty; it must have elements")
    found = on_disk(name, array)
    for start, block in blocks(found):
        good = _is_good(block, may_miss)
        if not good.all():
            place = np.argwhere(~good)[0]
            raise ValueError(f"{name} holds {block[tuple(place)]} at element {start + place[0]}; {_GOOD[real]}")
    if real:
        return found, Real(array.shape[1] if array.ndim == 2 else 1)
    if (largest := largest_symbol(found)) < 0:
        raise ValueError(f"{name} holds {_UNSCORED} and no symbol; some elements must be symbols")
    return found, Categorical(largest + 1)


def _is_good(block: np.ndarray, may_miss: bool) -> np.ndarray:
    if block.dtype.kind == "f":
        return np.isfinite(block) | (np.isnan(block) & may_miss)
    return (block >= 0) | ((block == _UNSCORED) & may_miss)


_GOOD = {True: "real numbers must be finite", False: "symbols are 0 or more"}
