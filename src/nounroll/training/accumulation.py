"""Accumulation of gradients: a batch in parts, which are computed one after another to save device memory."""

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from nounroll.core import processes
from nounroll.core.batch import Batch
from nounroll.methods.base import State

_NOTHING = 1e-9  # weight of a part without scored targets: figures that only such parts have then have a mean


def parts_of(batch: Batch, state: State, parts: int, rank: int, count: int) -> Iterator[tuple[Batch, State]]:
    """Yield each part of a batch: the rows of process ``rank`` of ``count``, with their state."""
    rows = max(1, batch.batch_size // (parts * count))
    for index in range(parts):
        start = (index * count + rank) * rows
        before = {name: values[:, index * rows : (index + 1) * rows] for name, values in state.items()}
        yield batch.rows(start, start + rows), before


def shares(batch: Batch, state: State, parts: int) -> list[float]:
    """Return the share of each part in the loss of a batch: its share of the scored targets of all processes.

    A loss is a mean over scored targets, so the sum of the parts' losses with these weights is the loss of the whole
    batch. The unfinished batches that a state of ``tbptt`` holds count too. If nothing is scored, all parts are equal.

    Args:
        batch: rows of all processes.
        state: state of this process's rows.
        parts: number of parts.
    """
    counts = _in_parts(batch.mask.sum(1), parts)
    if "mask" in state:  # (G, B, T)
        counts = counts + processes.total(_in_parts(state["mask"].sum((0, 2)), parts)).cpu()
    numbers = [max(float(count), _NOTHING) for count in counts.tolist()]
    return [number / sum(numbers) for number in numbers]


def _in_parts(rows: Int[Tensor, "B"], parts: int) -> Int[Tensor, "P"]:
    """Sum the counts of the rows of each part."""
    return torch.stack([part.sum() for part in rows.tensor_split(parts)])


def weighted_means(figures: list[dict[str, Tensor]], weights: list[float]) -> dict[str, Tensor]:
    """Return the weighted mean of each figure over the parts that have it; not every part has every figure."""
    names = dict.fromkeys(name for one in figures for name in one)
    found = {name: [(w, one[name]) for w, one in zip(weights, figures, strict=True) if name in one] for name in names}
    return {
        name: torch.stack([w * value for w, value in had]).sum() / sum(w for w, _ in had) for name, had in found.items()
    }


def joined(states: list[State]) -> State:
    """Concatenate the states of all parts of a batch; what only some parts have is begun anew."""
    names = set(states[0]).intersection(*states)
    return {name: torch.cat([one[name] for one in states], dim=1) for name in states[0] if name in names}
