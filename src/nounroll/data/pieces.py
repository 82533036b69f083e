"""Pieces of sequences in each part: the steps to read, and the steps to score."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nounroll.data.parts import PARTS, as_times, cut_times
from nounroll.data.ragged import Ragged


class Piece(NamedTuple):
    """Steps ``start .. stop - 1`` of the concatenated sequences, scored from ``scored`` on; the rest is history."""

    start: int
    scored: int
    stop: int


def whole(sequences: Ragged, parts: list[str], window: int | None) -> dict[str, list[Piece]]:
    """Return the pieces of sequences that each belong to one part."""
    found: dict[str, list[Piece]] = {part: [] for part in PARTS}
    for part, start, stop in zip(parts, sequences.starts[:-1].tolist(), sequences.starts[1:].tolist(), strict=True):
        found[part] += _cut(start, start, stop, window, history=part != "train")
    return found


def by_time(
    sequences: Ragged, times: list[np.ndarray], shares: list[float], window: int | None
) -> dict[str, list[Piece]]:
    """Return the pieces of parts in order of time; a held-out piece reads earlier steps as history.

    Args:
        sequences: the inputs.
        times: the time of each step, increasing within each sequence.
        shares: share of each part in all steps.
        window: largest length of a piece.
    """
    cuts = cut_times(np.concatenate(times), shares)
    found: dict[str, list[Piece]] = {part: [] for part in PARTS}
    for start, mine in zip(sequences.starts[:-1].tolist(), times, strict=True):
        places = [0, *np.searchsorted(mine, cuts).tolist(), len(mine)]
        for part, first, last in zip(PARTS, places, places[1:], strict=False):
            found[part] += _cut(start, start + first, start + last, window, history=part != "train")
    return found


def _cut(begin: int, first: int, last: int, window: int | None, *, history: bool) -> list[Piece]:
    """Cut a sequence from ``begin`` on into pieces of at most ``window`` steps, which score ``first .. last - 1`` once.

    With ``history``, each piece has up to half a window of it, except at the sequence's beginning.
    """
    if window is None:
        return [Piece(begin if history else first, first, last)] if last > first else []
    found, place = [], first
    while place < last:
        start = max(begin, place - window // 2) if history else place
        stop = min(start + window, last)
        found.append(Piece(start, place, stop))
        place = stop
    return found


def check_times(times: Any, sequences: Ragged) -> list[np.ndarray]:
    """Check and return the times of each step.

    Raises:
        ValueError: times are not numbers or dates, not one for each step, or do not increase.
    """
    found = []
    for i, (one, steps) in enumerate(zip(times, sequences.lengths.tolist(), strict=True)):
        array = as_times(f"times[{i}]", one)
        if array.dtype.kind not in "iufM" or array.shape != (steps,):
            raise ValueError(
                f"times[{i}] is {array.dtype} of shape {array.shape}; it must be numbers or dates, of shape ({steps},)"
            )
        unknown = np.isnat(array) if array.dtype.kind == "M" else ~np.isfinite(array)
        if unknown.any():
            raise ValueError(f"times[{i}][{int(unknown.argmax())}] is {array[unknown][0]}; every step needs a time")
        wrong = np.flatnonzero(array[1:] <= array[:-1])
        if len(wrong):
            t = int(wrong[0]) + 1
            fault = (
                "is there twice: remove one" if array[t] == array[t - 1] else f"comes after {array[t - 1]}: sort them"
            )
            raise ValueError(f"times[{i}][{t}] is {array[t]}; it {fault}")
        found.append(array)
    kinds = {array.dtype.kind == "M" for array in found}
    if len(kinds) > 1:
        raise ValueError("times holds dates and numbers; give one kind")
    return found


def part_of_steps(pieces: dict[str, list[Piece]], steps: int) -> Int[Tensor, "S"]:
    """Return, for each step, the index in ``PARTS`` of the part that scores it."""
    found = torch.full((steps,), -1, dtype=torch.int64)
    for place, part in enumerate(PARTS):
        for piece in pieces[part]:
            found[piece.scored : piece.stop] = place
    return found
