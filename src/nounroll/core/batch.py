"""Batches, and the time index of memories.

**The time index (the only one in the project).** ``m_t`` is the memory after reading ``x_t``.
An array of memories has ``T + 1`` entries: index 0 is the empty memory ``m_∅`` and index ``t + 1``
is ``m_t``. The target ``y_t`` is read from ``memories[:, t + 1]``::

    inputs             x_0    x_1    x_2          (B, T)
                        |      |      |
    memories    m_∅ -> m_0 -> m_1 -> m_2          (B, T+1, K, d)
    index        0      1      2      3
                        |      |      |
    targets            y_0    y_1    y_2          (B, T)

    a transition is (memories[:, t], inputs[:, t]) -> memories[:, t + 1]

Shape legend, everywhere: B batch, T time, K memory tokens, d token width, V vocabulary (or readout
size), S sampled positions, N any flat number of rows. ``*x`` is nothing for a categorical input and
one axis for any other of ``nounroll.core.spaces``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from nounroll.core.spaces import Bits, Categorical, Count, Positive, Product, Real, Space

__all__ = ["Batch", "Bits", "Categorical", "Count", "Positive", "Product", "Real", "Space"]


def _tensor(values: Any) -> Any:
    """Convert an array to a tensor of the same precision; return anything else unchanged."""
    return torch.from_numpy(np.ascontiguousarray(values)) if isinstance(values, np.ndarray) else values


@dataclass(frozen=True)
class Batch:
    """A batch of sequences: each ``y_t`` depends on ``x_0 .. x_t`` only.

    Args:
        inputs: ``x``, (B, T) int64 or (B, T, d) float.
        targets: ``y``, (B, T) int64 or (B, T, d) float.
        mask: (B, T) bool, True where ``y_t`` is scored; everywhere by default.
        resets: (B, T) bool, True where the memory is reset to ``m_∅`` before ``x_t``: ``y_t`` then depends only on
            the inputs since the last reset. None means no resets.

    NumPy arrays become tensors. A task's arrays in other precisions become int64 and float32 (``in_spaces``).
    """

    inputs: Shaped[Tensor, "B T *x"]
    targets: Shaped[Tensor, "B T *y"]
    mask: Bool[Tensor, "B T"] = None  # type: ignore[assignment]  # filled in below
    resets: Shaped[Tensor, "..."] | None = None

    def __post_init__(self) -> None:
        for name in ("inputs", "targets", "mask", "resets"):
            object.__setattr__(self, name, _tensor(getattr(self, name)))
        if self.mask is None:
            full = torch.ones(self.targets.shape[:2], dtype=torch.bool, device=self.targets.device)
            object.__setattr__(self, "mask", full)

    @staticmethod
    def next_step(sequences: Shaped[Tensor, "B T1 *x"] | Shaped[np.ndarray, "B T1 *x"]) -> "Batch":
        """Build a batch for next-element prediction, ``y_t = x_{t+1}``, from sequences one step longer than it."""
        whole: Tensor = _tensor(sequences)
        return Batch(inputs=whole[:, :-1], targets=whole[:, 1:])

    @staticmethod
    def arrays(batches: Sequence["Batch"]) -> dict[str, list[Tensor]]:
        """Collect the inputs, targets and masks of all batches by name, in the order of ``Batch``."""
        return {name: [getattr(batch, name) for batch in batches] for name in ("inputs", "targets", "mask")}

    @property
    def batch_size(self) -> int:
        return self.inputs.shape[0]

    @property
    def length(self) -> int:
        """T, in time steps."""
        return self.inputs.shape[1]

    def to(self, device: torch.device | str) -> "Batch":
        resets = None if self.resets is None else self.resets.to(device)
        arrays = {name: getattr(self, name).to(device) for name in ("inputs", "targets", "mask")}
        return Batch(**arrays, resets=resets)

    def in_spaces(self, inputs: Space, targets: Space) -> "Batch":
        """Convert the batch to the precision of its spaces: symbols to int64, real numbers to float32."""
        return replace(self, inputs=inputs.convert(self.inputs), targets=targets.convert(self.targets))

    def rows(self, start: int, stop: int) -> "Batch":
        """Select the sequences ``start .. stop - 1`` of the batch (to accumulate gradients over parts)."""
        return self._part((slice(start, stop),))

    def times(self, start: int, stop: int) -> "Batch":
        """Select the time steps ``start .. stop - 1`` of all sequences."""
        return self._part((slice(None), slice(start, stop)))

    def _part(self, place: tuple[slice, ...]) -> "Batch":
        resets = None if self.resets is None else self.resets[place]
        return Batch(self.inputs[place], self.targets[place], self.mask[place], resets)

    def check(self, name: str, inputs: Space, targets: Space, batch_size: int, length: int) -> None:
        """Raise ValueError, naming the array and its fault, unless the batch has the requested form."""
        for label, space, values in (("inputs", inputs, self.inputs), ("targets", targets, self.targets)):
            wanted = (batch_size, length, *space.event_shape)
            if tuple(values.shape) != wanted:
                raise ValueError(
                    f"{name}: {label} have shape {tuple(values.shape)}; {space} at this size needs {wanted}"
                )
            space.check(f"{name}: {label}", values)
        if tuple(self.mask.shape) != (batch_size, length) or self.mask.dtype != torch.bool:
            raise ValueError(
                f"{name}: mask is {self.mask.dtype} of shape {tuple(self.mask.shape)};"
                f" it must be torch.bool of shape {(batch_size, length)}"
            )
        if self.resets is not None:
            check_resets(f"{name}: resets", self.resets, batch_size, length)


def check_resets(name: str, resets: Tensor, batch_size: int, length: int) -> None:
    """Raise ValueError unless ``resets`` has one truth value for each step of each row."""
    if tuple(resets.shape) != (batch_size, length) or resets.dtype != torch.bool:
        raise ValueError(
            f"{name} are {resets.dtype} of shape {tuple(resets.shape)};"
            f" they must be torch.bool of shape {(batch_size, length)}"
        )


def apart(batch: Batch, length: int | None = None) -> tuple[Batch, Bool[Tensor, "R t"] | None]:
    """Split each row at its resets: each part becomes a row of its own that starts from ``m_∅``, in order.

    Args:
        batch: the batch, with or without resets.
        length: length of the new rows; by default the length of the longest part.

    Returns:
        The batch, and which of its steps are real: padding repeats a part's last step and is not scored. Without
        resets, the unchanged batch and None.
    """
    if batch.resets is None:
        return batch, None
    first, counts = _between(batch.resets)
    place, there = _filled(first, counts, length or int(counts.max()))
    inputs, targets, mask = (values.flatten(0, 1)[place] for values in (batch.inputs, batch.targets, batch.mask))
    return Batch(inputs, targets, mask & there), there


def each_part(run: Callable[[Tensor], Shaped[Tensor, "R t *y"]], batch: Batch) -> Shaped[Tensor, "B T *y"]:
    """Run a function on the inputs of each part of a row between resets, and put the results back in their places.

    Parts of similar lengths run together. Each such group, after padding, has at most as many steps as the batch.
    """
    if batch.resets is None:
        return run(batch.inputs)
    first, counts = _between(batch.resets)
    order, values = counts.argsort(descending=True, stable=True), batch.inputs.flatten(0, 1)
    found, places, start = [], [], 0
    while start < len(order):
        longest = int(counts[order[start]])
        group = order[start : start + batch.mask.numel() // longest]
        place, there = _filled(first[group], counts[group], longest)
        found.append(run(values[place])[there])
        places.append(place[there])
        start += len(group)
    return torch.cat(found)[torch.cat(places).argsort()].unflatten(0, batch.mask.shape)


def _between(resets: Bool[Tensor, "B T"]) -> tuple[Int[Tensor, "R"], Int[Tensor, "R"]]:
    """Find the first step of each part between resets, counted over all rows, and the number of its steps."""
    begins = resets.clone()
    begins[:, 0] = True
    first = begins.flatten().nonzero()[:, 0]
    return first, torch.cat([first[1:], first.new_tensor([begins.numel()])]) - first


def _filled(
    first: Int[Tensor, "R"], counts: Int[Tensor, "R"], length: int
) -> tuple[Int[Tensor, "R t"], Bool[Tensor, "R t"]]:
    """Pad the steps of parts to a common length by repeating the last step; return also which steps are real."""
    times = torch.arange(length, device=first.device)
    return first[:, None] + torch.minimum(times, counts[:, None] - 1), times < counts[:, None]
