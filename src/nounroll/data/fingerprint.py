"""Fingerprint of a task's data, so that a run notices changed data."""

import hashlib
from typing import Any

import numpy as np
import torch

from nounroll.core.seeding import generator
from nounroll.data.task import SequenceTask

_BLOCK, _BLOCKS = 1 << 16, 64  # bytes of a block, and blocks per array; smaller arrays are read whole
_ARRAYS = 4096  # arrays whose contents are read; all shapes count
_ROWS, _STEPS = 4, 16  # drawn from a part without stored arrays


def fingerprint(task: SequenceTask) -> str:
    """Compute the SHA-256 of a task's data (all three parts, so another split is other data), in hexadecimal.

    The cost does not grow with the data. For stored arrays (``SequenceTask.stored``) the types, the shapes and 4 MiB of
    contents at equal distances count. Data that grows or is replaced is noticed; a change of few bytes in a large file
    may be missed. Without stored arrays, a few sequences are drawn from each part. Only two digits of real numbers
    count, because machines differ in the last digits.

    Args:
        task: the task.
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
    """Add an array to the digest: whole, or blocks at equal distances including the first and the last."""
    row = max(1, np.dtype(array.dtype).itemsize * array.size // max(1, len(array)))  # bytes
    rows = max(1, _BLOCK // row)
    last = max(0, len(array) - rows)
    whole = len(array) <= _BLOCKS * rows
    starts = range(0, len(array), rows) if whole else np.linspace(0, last, _BLOCKS, dtype=np.int64).tolist()
    for start in starts:
        digest.update(np.ascontiguousarray(np.asarray(array[start : start + rows])).tobytes())


def _drawn(part: SequenceTask) -> bytes:
    """Draw a few sequences of a part as text; nothing if a user's task refuses the length."""
    try:
        batch = part.sample(_ROWS, _length(part), generator(0, "fingerprint"))
        arrays = [batch.inputs, batch.targets, batch.mask]
    except Exception:  # a user's task may raise anything; then only its spaces and size count
        return b"refused"
    return " ".join(
        f"{value:.1e}" if array.is_floating_point() else str(int(value))
        for array in arrays
        for value in array.detach().to("cpu", torch.float64).flatten().tolist()
    ).encode()


def _length(part: SequenceTask) -> int:
    """Choose a length that the task should have: short, unless its sequences are whole."""
    if part.lengths == "whole" and part.max_length:
        return part.max_length
    each = part.lengths if isinstance(part.lengths, int) else 1
    return max(each, min(part.max_length or _STEPS, _STEPS) // each * each)
