"""Fingerprint of a task's data, by which a run notices that its data has changed."""

import hashlib
from typing import Any

import numpy as np
import torch

from nounroll.core.seeding import generator
from nounroll.data.task import SequenceTask

_BLOCK, _BLOCKS = 1 << 16, 64  # bytes of a block, and blocks of an array that are read; a smaller one is read whole
_ARRAYS = 4096  # whose contents are read; the shapes of all count
_ROWS, _STEPS = 4, 16  # that are drawn of a part where nothing is stored


def fingerprint(task: SequenceTask) -> str:
    """SHA-256 of a task's data, in hexadecimal: of all three parts, so that another split is other data too.

    Cheap for data of any size. Of stored arrays (``SequenceTask.stored``) the kinds and shapes count, and the contents
    of 4 MiB at equal distances: whatever grows or is replaced is found, a change of few bytes in a large file may not
    be. Where nothing is stored, a few sequences are drawn from each part; real numbers count by two digits, as
    machines differ in the last ones.

    Args:
        task: whose data it is.
    """
    digest = hashlib.sha256(f"{task.inputs.event_shape} {task.targets.event_shape} {task.size}".encode())
    arrays = list(task.stored())
    for array in arrays:
        digest.update(f"{array.dtype} {tuple(array.shape)};".encode())
    for array in arrays[:: -(-len(arrays) // _ARRAYS) or 1]:
        _read(digest, array)
    if not arrays:
        for part in (task, task.validation(), task.test()):
            digest.update(_drawn(part))
    return digest.hexdigest()


def _read(digest: Any, array: Any) -> None:
    """Take in an array: whole, or blocks at equal distances, the first and the last among them."""
    row = max(1, np.dtype(array.dtype).itemsize * array.size // max(1, len(array)))  # bytes
    rows = max(1, _BLOCK // row)
    last = max(0, len(array) - rows)
    whole = len(array) <= _BLOCKS * rows
    starts = range(0, len(array), rows) if whole else np.linspace(0, last, _BLOCKS, dtype=np.int64).tolist()
    for start in starts:
        digest.update(np.ascontiguousarray(np.asarray(array[start : start + rows])).tobytes())


def _drawn(part: SequenceTask) -> bytes:
    """Draw a few sequences of a part as text; nothing where the part refuses the length, as a user's task may."""
    try:
        batch = part.sample(_ROWS, _length(part), generator(0, "fingerprint"))
        arrays = [batch.inputs, batch.targets, batch.mask]
    except Exception:  # a user's task refuses in a way of its own, and is then known by its spaces and size alone
        return b"refused"
    return " ".join(
        f"{value:.1e}" if array.is_floating_point() else str(int(value))
        for array in arrays
        for value in array.detach().to("cpu", torch.float64).flatten().tolist()
    ).encode()


def _length(part: SequenceTask) -> int:
    """A length that the task should have: short, unless its sequences are whole."""
    if part.lengths == "whole" and part.max_length:
        return part.max_length
    each = part.lengths if isinstance(part.lengths, int) else 1
    return max(each, min(part.max_length or _STEPS, _STEPS) // each * each)
