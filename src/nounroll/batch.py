"""What flows through the house: spaces, batches, and the time index.

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
one axis for a real one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from nounroll.plain import count


@dataclass(frozen=True)
class Categorical:
    """Symbols ``0 .. n - 1``, held as int64 arrays of shape (B, T)."""

    n: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", count("Categorical.n", self.n))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return ()

    def zeros(self, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        """An array of this space, (*shape), all 0."""
        return torch.zeros(shape, dtype=torch.int64, device=device)

    @property
    def readout_size(self) -> int:
        """V: one logit per symbol."""
        return self.n

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError unless ``values`` are int64 symbols of this space."""
        if values.dtype != torch.int64:
            raise ValueError(f"{name} has dtype {values.dtype}; a Categorical array must be torch.int64")
        if values.numel():
            low, high = (int(v) for v in torch.aminmax(values))
            if low < 0 or high >= self.n:
                worst = low if low < 0 else high
                raise ValueError(f"{name} holds the symbol {worst}; Categorical({self.n}) allows 0..{self.n - 1}")


@dataclass(frozen=True)
class Real:
    """Vectors of ``d`` real numbers of any unit, held as float32 arrays of shape (B, T, d).

    Targets of this space are scored by a Gaussian likelihood with a learnt scale per coordinate.

    Args:
        d: coordinates.
        shift, scale: of each coordinate. Networks compute with (x - shift) / scale; what goes into them and what
            comes out of them is in the unit of the data. None is 0 and 1: before training they are then measured
            (``nounroll.data.scale``). Spaces of one ``d`` are equal, whatever these are.
    """

    d: int
    shift: Sequence[float] | None = field(default=None, compare=False, repr=False)
    scale: Sequence[float] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "d", count("Real.d", self.d))
        if (self.shift is None) != (self.scale is None):
            raise ValueError("Real.shift and Real.scale go together; give both or neither")
        for name, least in (("shift", -math.inf), ("scale", 0.0)):
            given = getattr(self, name)
            if given is None:
                continue
            values = tuple(map(float, given))
            if len(values) != self.d or not all(least < value < math.inf for value in values):
                positive = " above 0" if name == "scale" else ""
                raise ValueError(f"Real.{name} is {given!r}; it must be {self.d} finite numbers{positive}")
            object.__setattr__(self, name, values)

    def standardise(self, values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """(x - shift) / scale, in the dtype of the values."""
        if self.shift is None or self.scale is None:
            return values
        shift, scale = self.moments(values)
        return (values - shift) / scale

    def moments(self, like: Tensor) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
        """Shift and scale of a space that has them, as tensors of the dtype and on the device of another."""
        shift, scale = (torch.tensor(v, dtype=like.dtype, device=like.device) for v in (self.shift, self.scale))
        return shift, scale

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.d,)

    def zeros(self, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        """An array of this space, (*shape, d), all 0."""
        return torch.zeros(*shape, self.d, device=device)

    @property
    def readout_size(self) -> int:
        """V: a mean and a log standard deviation per coordinate."""
        return 2 * self.d

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError unless ``values`` are finite float vectors of this space."""
        if not values.dtype.is_floating_point:
            raise ValueError(f"{name} has dtype {values.dtype}; a Real array must be floating point")
        if not torch.isfinite(values).all():
            where = tuple(int(i) for i in torch.nonzero(~torch.isfinite(values))[0])
            raise ValueError(f"{name} holds {float(values[where])} at index {where}; Real arrays must be finite")


Space: TypeAlias = Categorical | Real


def _tensor(values: Any) -> Any:
    """An array as a tensor of its own precision; anything else as it is."""
    return torch.from_numpy(np.ascontiguousarray(values)) if isinstance(values, np.ndarray) else values


def _in_space(space: Space, values: Tensor) -> Tensor:
    """Values of another precision converted; those of another kind are left for ``check`` to refuse."""
    if isinstance(space, Real):
        return values.float() if values.is_floating_point() else values
    return values if values.is_floating_point() or values.is_complex() else values.long()


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
        return replace(self, inputs=_in_space(inputs, self.inputs), targets=_in_space(targets, self.targets))

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
