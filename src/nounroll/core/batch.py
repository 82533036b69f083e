"""What flows through the house: batches, and the time index.

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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from nounroll.core.spaces import Bits, Categorical, Count, Positive, Product, Real, Space

__all__ = ["Batch", "Bits", "Categorical", "Count", "Positive", "Product", "Real", "Space"]


def _tensor(values: Any) -> Any:
    """An array as a tensor of its own precision; anything else as it is."""
    return torch.from_numpy(np.ascontiguousarray(values)) if isinstance(values, np.ndarray) else values


@dataclass(frozen=True)
class Batch:
    """A batch of sequences: each ``y_t`` depends on ``x_0 .. x_t`` only.

    Args:
        inputs: ``x``, (B, T) int64 or (B, T, d) float.
        targets: ``y``, (B, T) int64 or (B, T, d) float.
        mask: (B, T) bool, True where ``y_t`` is scored; all of them when left out.

    NumPy arrays become tensors. A task's arrays in other precisions become int64 and float32 (``in_spaces``).
    """

    inputs: Shaped[Tensor, "B T *x"]
    targets: Shaped[Tensor, "B T *y"]
    mask: Bool[Tensor, "B T"] = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        for name in ("inputs", "targets", "mask"):
            object.__setattr__(self, name, _tensor(getattr(self, name)))
        if self.mask is None:
            full = torch.ones(self.targets.shape[:2], dtype=torch.bool, device=self.targets.device)
            object.__setattr__(self, "mask", full)

    @staticmethod
    def next_step(sequences: Shaped[Tensor, "B T1 *x"] | Shaped[np.ndarray, "B T1 *x"]) -> "Batch":
        """Predict the next element: ``y_t = x_{t+1}``, from sequences one longer than the batch."""
        whole: Tensor = _tensor(sequences)
        return Batch(inputs=whole[:, :-1], targets=whole[:, 1:])

    @staticmethod
    def arrays(batches: Sequence["Batch"]) -> dict[str, list[Tensor]]:
        """The inputs of all batches, their targets and their masks, by name and in the order of ``Batch``."""
        return {name: [getattr(batch, name) for batch in batches] for name in ("inputs", "targets", "mask")}

    @property
    def batch_size(self) -> int:
        return self.inputs.shape[0]

    @property
    def length(self) -> int:
        """T, in time steps."""
        return self.inputs.shape[1]

    def to(self, device: torch.device | str) -> "Batch":
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device), mask=self.mask.to(device))

    def in_spaces(self, inputs: Space, targets: Space) -> "Batch":
        """The same in the precision of its spaces: symbols in int64, real numbers in float32."""
        return replace(self, inputs=inputs.convert(self.inputs), targets=targets.convert(self.targets))

    def rows(self, start: int, stop: int) -> "Batch":
        """The sequences ``start .. stop - 1`` of the batch (to accumulate gradients over parts)."""
        return Batch(self.inputs[start:stop], self.targets[start:stop], self.mask[start:stop])

    def check(self, name: str, inputs: Space, targets: Space, batch_size: int, length: int) -> None:
        """Raise ValueError, naming the array and its fault, unless the batch is what was asked for."""
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
