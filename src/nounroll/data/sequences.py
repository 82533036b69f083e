"""One's own sequences, held in memory: ragged arrays, with a target at each step or a label at the end."""

import copy
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from nounroll.batch import Batch, Categorical, Real, Space
from nounroll.data.padding import without_padding
from nounroll.data.parts import PARTS, split_parts
from nounroll.data.task import SequenceTask

_MOST_SYMBOLS = 1_000_000
_NONE = -100  # what PyTorch's losses ignore
Score = Literal["all", "last"]


class Sequences(SequenceTask):
    """N sequences of one's own, each from its first step on, padded at its end; padding is never scored.

    ::

        inputs     x_0  x_1  x_2  0        a sequence of 3 steps beside one of 4
        labels     .    .    y    .        one each, scored after the last step
        targets    y_0  y_1  y_2  .        or one for each step

    They are split once into three parts that never share a sequence: training goes through its part in epochs, the
    student is chosen by all of the validation part, and the test part is measured at the end alone. A sequence with a
    label is always read whole. With targets a shorter length reads the first steps of each.

    Args:
        inputs: N arrays or tensors, (T_i,) whole numbers or (T_i, d) real ones; or one array (N, T) or (N, T, d).
        targets: the same form, a target for each step; -100 among whole numbers, and nan in all of a real vector, stand
            where there is none, and are not scored.
        labels: N targets, whole numbers or (N, d) real ones. Exactly one of the two is given.
        score: of ``targets``, all steps or the last one of each sequence.
        split: shares of the train, validation and test parts, drawn by ``seed``; or the name of the part of each
            sequence.
        groups: N values; sequences of one value stay in one part (recordings of one person, say), and the shares are
            those of the values.
        seed: of the split.

    Raises:
        ValueError: arrays that do not fit each other, a part without sequences, a symbol or a number that cannot be.
    """

    def __init__(
        self,
        inputs: Sequence[Any] | np.ndarray | Tensor,
        *,
        targets: Sequence[Any] | np.ndarray | Tensor | None = None,
        labels: Sequence[Any] | np.ndarray | Tensor | None = None,
        score: Score = "all",
        split: Sequence[float] | Sequence[str] = (0.8, 0.1, 0.1),
        groups: Sequence[Any] | np.ndarray | Tensor | None = None,
        seed: int = 0,
    ) -> None:
        if (targets is None) == (labels is None):
            given = "neither is set" if labels is None else "both are set"
            raise ValueError(f"targets, one for each step, or labels, one for each sequence: {given}; give one of them")
        if score not in ("all", "last"):
            raise ValueError(f"score is {score!r}; it must be all or last")
        name = "targets" if labels is None else "labels"
        self._at_end = labels is not None
        self._score = "last" if self._at_end else score
        self._inputs = _arrays("inputs", inputs)
        self._targets = _arrays(name, targets) if labels is None else list(_array(name, labels, "N").split(1))
        _check_counts(name, self._inputs, self._targets, each_step=not self._at_end)
        self.inputs, self.targets = _space(self._inputs), _space(self._targets)
        self.max_length = max(map(len, self._inputs))
        self.lengths = "whole" if self._score == "last" else "any"
        parts = split_parts(len(self._inputs), split, groups, seed)
        self._parts = {part: torch.tensor([i for i, found in enumerate(parts) if found == part]) for part in PARTS}
        self._choose("train")

    @property
    def length(self) -> int:
        """Steps of the longest sequence: what ``fit`` takes as ``length`` to read all of them whole."""
        return int(self.max_length or 0)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        return self.take(torch.randint(len(self._numbers), (batch_size,), generator=generator), length)

    def take(self, indices: Int[Tensor, "B"], length: int) -> Batch:
        if self._score == "last" and length < self.length:
            raise ValueError(
                f"length is {length}; a label belongs to a whole sequence, and the longest has {self.length}"
            )
        chosen = self._numbers[indices].tolist()
        x, y = self.inputs.zeros(len(chosen), length), self.targets.zeros(len(chosen), length)
        mask = torch.zeros(len(chosen), length, dtype=torch.bool)
        for row, i in enumerate(chosen):
            steps = min(length, len(self._inputs[i]))
            x[row, :steps] = self._inputs[i][:steps]
            if self._at_end:
                y[row, steps - 1] = self._targets[i][0]
                mask[row, steps - 1] = True
            else:
                y[row, :steps] = self._targets[i][:steps]
                known = _known(self._targets[i][:steps])
                mask[row, :steps] = known if self._score == "all" else known & (known.cumsum(0) == known.sum())
        return without_padding(Batch(x, y, mask), self.inputs, self.targets)

    def stored(self) -> list[np.ndarray]:
        return [one.numpy() for one in (*self._parts.values(), *self._inputs, *self._targets)]

    def validation(self) -> "Sequences":
        return self._over("validation")

    def test(self) -> "Sequences":
        return self._over("test")

    def _over(self, part: str) -> "Sequences":
        sibling = copy.copy(self)
        sibling._choose(part)
        return sibling

    def _choose(self, part: str) -> None:
        self._numbers = self._parts[part]
        self.size = len(self._numbers)


def _arrays(name: str, values: Any) -> list[Tensor]:
    """Each sequence as ``_array`` gives it, all of one kind and width."""
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__len__") or getattr(values, "ndim", 1) == 0:
        raise ValueError(
            f"{name} is a {type(values).__name__}; it must be a list of arrays, or an array of (N, T, ...)"
        )
    if not len(values):
        raise ValueError(f"{name} is empty; it must hold at least one sequence for each part")
    arrays = [_array(f"{name}[{i}]", one, "T", gaps=name == "targets") for i, one in enumerate(values)]
    for i, one in enumerate(arrays):
        if _kind(one) != _kind(arrays[0]):
            raise ValueError(
                f"{name}[{i}] holds {_kind(one)}; {name}[0] holds {_kind(arrays[0])}, and all must be alike"
            )
    return arrays


def _kind(array: Tensor) -> str:
    return f"real vectors of width {array.shape[1]}" if array.is_floating_point() else "whole numbers"


def _known(targets: Tensor) -> Bool[Tensor, "T"]:
    """Where there is a target."""
    return ~targets.isnan().all(1) if targets.is_floating_point() else targets != _NONE


def _array(name: str, values: Any, axis: str, gaps: bool = False) -> Tensor:
    """A copy of the values: (T,) int64 or (T, d) float32. With ``gaps`` there may be steps without one.

    Raises:
        ValueError: they have another form, or a value is not finite or no symbol; ``axis`` is what T is called.
    """
    if isinstance(values, Tensor):
        values = values.detach().to("cpu", torch.float32 if values.is_floating_point() else values.dtype)
    try:
        found = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array of numbers: {' '.join(str(error).split())}") from None
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds values of type {found.dtype}; it must hold whole or real numbers")
    axes = (1, 2) if found.dtype.kind == "f" else (1,)
    if found.ndim in (1, 2, 3) and not found.size:
        raise ValueError(f"{name} is empty, of shape {found.shape}; it must hold at least one number")
    if found.ndim not in axes:
        raise ValueError(
            f"{name} is {found.dtype} of shape {found.shape}; it must be ({axis},) for whole numbers,"
            f" ({axis},) or ({axis}, d) for real ones"
        )
    if found.dtype.kind == "f":
        with np.errstate(over="ignore"):
            vectors = np.array(found.reshape(len(found), -1), dtype=np.float32)
        bad = ~np.isfinite(vectors)
        bad[np.isnan(vectors).all(1) & gaps] = False
        _refuse(name, found, bad.reshape(found.shape), "real numbers must be finite as float32")
        return torch.from_numpy(vectors)
    allowed = f"whole numbers are symbols 0 to {_MOST_SYMBOLS - 1:,} (floats are real numbers)"
    bad = (found < 0) | (found >= _MOST_SYMBOLS)
    _refuse(name, found, bad & (found != _NONE) if gaps else bad, allowed)
    return torch.from_numpy(np.array(found, dtype=np.int64))


def _refuse(name: str, values: np.ndarray, bad: np.ndarray, allowed: str) -> None:
    if bad.any():
        where = tuple(np.argwhere(bad)[0].tolist())
        raise ValueError(f"{name}[{', '.join(map(str, where))}] is {values[where]}; {allowed}")


def _check_counts(name: str, inputs: list[Tensor], targets: list[Tensor], *, each_step: bool) -> None:
    if len(targets) != len(inputs):
        raise ValueError(f"{name} has {len(targets)} entries; there must be one for each of the {len(inputs)} inputs")
    for i, (x, y) in enumerate(zip(inputs, targets, strict=True)):
        if each_step and len(x) != len(y):
            raise ValueError(
                f"{name}[{i}] has {len(y)} steps; there must be one for each of the {len(x)} of inputs[{i}]"
            )


def _space(arrays: list[Tensor]) -> Space:
    """The smallest space that holds them."""
    if arrays[0].is_floating_point():
        return Real(arrays[0].shape[1])
    return Categorical(max(1, 1 + max(int(one.max()) for one in arrays)))
