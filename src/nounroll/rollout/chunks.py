"""Limits on the array sizes of an evaluation, for any batch, length and vocabulary."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nounroll.core.batch import Batch, Space
from nounroll.objectives.readout import negative_log_likelihood

NUMBERS = 2**22  # numbers in one array: 16 MiB in float32, which is allocated fast; a single element may need more


def at_once(numbers: int) -> int:
    """Return how many elements of the given size are held together."""
    return max(1, NUMBERS // max(1, numbers))


def by_rows(batch: Batch, numbers: int) -> Iterator[Batch]:
    """Split a batch into parts of whole sequences.

    Args:
        batch: the whole batch.
        numbers: numbers that are held for each time step of a sequence.
    """
    rows = at_once(numbers * batch.length)
    yield from (batch.rows(start, start + rows) for start in range(0, batch.batch_size, rows))


def by_times(batch: Batch, numbers: int) -> Iterator[Batch]:
    """Split a batch into parts along time, in order."""
    steps = at_once(numbers * batch.batch_size)
    yield from (batch.times(start, start + steps) for start in range(0, batch.length, steps))


def scores(
    head: Callable[[Float[Tensor, "n F"]], Float[Tensor, "n V"]],
    space: Space,
    features: Float[Tensor, "*n F"],
    targets: Shaped[Tensor, "..."],
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """Compute -log p(y) in nats and ``Space.hits`` of each element; the readout runs in parts.

    Args:
        head: features -> the parameters of p(y).
        space: space of the targets.
        features: inputs of the head.
        targets: y.
    """
    shape, losses, right = features.shape[:-1], [], []
    for outputs, wanted in parts(head, space, features.flatten(0, -2), targets.flatten(0, len(shape) - 1)):
        losses.append(negative_log_likelihood(space, outputs, wanted))
        right.append(space.hits(outputs, wanted))
    return torch.cat(losses).view(shape), torch.cat(right).view(shape)


def parts(
    head: Callable[[Float[Tensor, "n F"]], Float[Tensor, "n V"]],
    space: Space,
    features: Float[Tensor, "N F"],
    targets: Shaped[Tensor, "N ..."],
) -> Iterator[tuple[Float[Tensor, "n V"], Shaped[Tensor, "n ..."]]]:
    """Yield the readout of the features part by part, with their targets."""
    count = at_once(space.readout_size)
    for seen, wanted in zip(features.split(count), targets.split(count), strict=True):
        yield head(seen), wanted


def losses_by_rows(
    outputs: Callable[[slice], Float[Tensor, "n F V"]], space: Space, targets: Shaped[Tensor, "..."]
) -> Float[Tensor, "B F"]:
    """Compute -log p(y) of F targets in each of B rows, for a few rows at a time; a row's outputs come together.

    Args:
        outputs: rows -> the parameters of p(y).
        space: space of the targets.
        targets: y, (B, F) or (B, F, d).
    """
    count, (rows, length) = at_once(space.readout_size * targets.shape[1]), targets.shape[:2]
    parts = [slice(start, start + count) for start in range(0, rows if length else 0, count)]
    losses = [negative_log_likelihood(space, outputs(part), targets[part]) for part in parts]
    return torch.cat(losses) if losses else torch.zeros(rows, length)
