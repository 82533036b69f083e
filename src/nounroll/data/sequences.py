"""One's own sequences, held in memory: ragged arrays, with a target at each step or a label at the end."""

import copy
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nounroll.batch import Batch, Categorical, Real, Space
from nounroll.data.task import SequenceTask

PARTS = ("train", "validation", "test")
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
        targets: the same form, a target for each step.
        labels: N targets, whole numbers or (N, d) real ones. Exactly one of the two is given.
        score: of ``targets``, all steps or the last one of each sequence.
        split: shares of the three parts, drawn by ``seed``; or the name of the part of each sequence.
        groups: N values; sequences of one value stay in one part (recordings of one person, say).
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
        groups: Sequence[Any] | None = None,
        seed: int = 0,
    ) -> None:
        if (targets is None) == (labels is None):
            raise ValueError(
                "Sequences takes targets (one for each step) or labels (one for each sequence), one of them"
            )
        if score not in ("all", "last"):
            raise ValueError(f"score is {score!r}; it must be all or last")
        self._inputs = [_array("inputs", i, one) for i, one in enumerate(inputs)]
        if not self._inputs:
            raise ValueError("inputs is empty; it must hold at least one sequence for each part")
        self._at_end = labels is not None
        self._score = "last" if self._at_end else score
        answers = targets if labels is None else _lasting(labels)
        assert answers is not None
        self._targets = [_array("labels" if self._at_end else "targets", i, one) for i, one in enumerate(answers)]
        if len(self._targets) != len(self._inputs):
            name = "labels" if self._at_end else "targets"
            raise ValueError(f"{name} has {len(self._targets)} entries; inputs has {len(self._inputs)}")
        for i, (x, y) in enumerate(zip(self._inputs, self._targets, strict=True)):
            if not self._at_end and len(x) != len(y):
                raise ValueError(f"targets[{i}] has {len(y)} steps; inputs[{i}] has {len(x)}")
        self.inputs = _space("inputs", self._inputs)
        self.targets = _space("labels" if self._at_end else "targets", self._targets)
        self.max_length = max(map(len, self._inputs))
        self.lengths = "whole" if self._score == "last" else "any"
        parts = _parts(len(self._inputs), split, groups, seed)
        self._parts = {name: torch.tensor([i for i, part in enumerate(parts) if part == name]) for name in PARTS}
        for name, numbers in self._parts.items():
            if not len(numbers):
                raise ValueError(f"the {name} part has no sequence; give more sequences, or another split")
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
            else:
                y[row, :steps] = self._targets[i][:steps]
            mask[row, 0 if self._score == "all" else steps - 1 : steps] = True
        return Batch(x, y, mask)

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


def _array(name: str, number: int, values: Any) -> Tensor:
    """One sequence as (T,) int64 or (T, d) float32."""
    try:
        found = torch.as_tensor(np.asarray(values))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}[{number}] is no array of numbers: {' '.join(str(error).split())}") from None
    if found.ndim == 0 or not len(found):
        raise ValueError(f"{name}[{number}] has shape {tuple(found.shape)}; it must have at least one step")
    if found.is_floating_point():
        found = found[:, None] if found.ndim == 1 else found
        return _shaped(name, number, found.to(torch.float32), 2)
    return _shaped(name, number, found.to(torch.int64), 1)


def _shaped(name: str, number: int, values: Tensor, axes: int) -> Tensor:
    if values.ndim != axes:
        wanted = "(T, d)" if axes == 2 else "(T,)"
        raise ValueError(f"{name}[{number}] has shape {tuple(values.shape)}; {values.dtype} values must be {wanted}")
    return values


def _lasting(labels: Any) -> list[Any]:
    """A label of each sequence -> sequences of one step."""
    array = labels if isinstance(labels, Tensor) else np.asarray(labels)
    return [array[i : i + 1] for i in range(len(array))]


def _space(name: str, arrays: list[Tensor]) -> Space:
    """The smallest space that holds them.

    Raises:
        ValueError: they are not of one kind or width, a symbol is negative, or a number is not finite.
    """
    for i, one in enumerate(arrays):
        if one.dtype != arrays[0].dtype or one.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"{name}[{i}] holds {one.dtype} of shape {tuple(one.shape)}, {name}[0] {arrays[0].dtype} of shape"
                f" {tuple(arrays[0].shape)}; all must be of one kind and width"
            )
    if arrays[0].is_floating_point():
        space: Space = Real(arrays[0].shape[1])
    else:
        space = Categorical(max(1, 1 + max(int(one.max()) for one in arrays)))
    for i, one in enumerate(arrays):
        space.check(f"{name}[{i}]", one)
    return space


def _parts(count: int, split: Any, groups: Sequence[Any] | None, seed: int) -> list[str]:
    """The part of each sequence."""
    if len(split) == count and all(isinstance(part, str) for part in split):
        unknown = sorted(set(split) - set(PARTS))
        if unknown:
            raise ValueError(f"split holds {unknown[0]!r}; it must name train, validation or test for each sequence")
        if groups is not None:
            raise ValueError("groups and a part for each sequence are given; only one of them may be")
        return list(split)
    shares = [float(share) for share in split] if all(isinstance(s, int | float) for s in split) else []
    if len(shares) != 3 or min(shares) < 0 or sum(shares) <= 0:
        raise ValueError(
            f"split is {split!r}; it must be three shares such as (0.8, 0.1, 0.1), or {count} names of parts"
        )
    if groups is not None and len(groups) != count:
        raise ValueError(f"groups has {len(groups)} entries; there are {count} sequences")
    keys = list(range(count)) if groups is None else list(groups)
    order = list(dict.fromkeys(keys))
    np.random.RandomState(seed).shuffle(order)
    ends = np.cumsum(shares) / sum(shares) * len(order)
    held = {key: PARTS[int(np.searchsorted(ends[:2], place + 0.5))] for place, key in enumerate(order)}
    return [held[key] for key in keys]
