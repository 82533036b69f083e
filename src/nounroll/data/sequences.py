"""Sequences held in memory: ragged arrays, with a target at each step or a label at the end."""

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from nounroll.core.batch import Batch, Categorical, Real, Space
from nounroll.core.spaces import Bits
from nounroll.data import classes, pieces
from nounroll.data.checks import whole_number
from nounroll.data.features import joined
from nounroll.data.named_spaces import in_space, known
from nounroll.data.names import decoded, encoded, has_names, names_of, numbered
from nounroll.data.padding import without_padding
from nounroll.data.parts import PARTS, check_parts, shares_of, split_parts
from nounroll.data.ragged import Ragged, ends, read, read_array
from nounroll.data.task import SequenceTask

Score = Literal["all", "last"]
Arrays = Collection[Any] | np.ndarray | Tensor | Ragged


class Sequences(SequenceTask):
    """N sequences of the user, padded at the end; padding is never scored.

    ::

        inputs     x_0  x_1  x_2  0        a sequence of 3 steps, padded to 4
        labels     .    .    y    .        one each, scored after the last step
        targets    y_0  y_1  y_2  .        or one for each step

    The sequences are split once into three parts. Training goes through its part in epochs, the validation part chooses
    the student, and the test part is measured only at the end. No step is scored in two parts. A sequence with a label
    is always read whole. With targets, a shorter length reads the first steps of each sequence.

    Args:
        inputs: N arrays, tensors or data frames, (T_i,) whole numbers or (T_i, d) real ones; or one array (N, T) or
            (N, T, d). A nan is a missing value: the network reads the value before it in its sequence, or the mean of
            the training part. For each column with gaps it also reads a 0/1 column, 1 where the value is missing. Or N
            texts, whose characters are symbols, or N lists of names (words, events), each name a symbol.
        targets: the same form, a target for each step. A step without target is not scored: -100, a vector of nan, or
            None among names.
        labels: N targets: whole numbers, names of classes or (N, d) real ones. Give targets or labels.
        static: N numbers or vectors, or a data frame: properties of a whole sequence, read at each of its steps.
        future: N arrays (T_i + 1, f), with ``targets``: values known one step ahead. Step t reads row t + 1.
        observed: N masks (T_i,) or (T_i, d), False where a value of ``inputs`` is missing. A missing symbol is an extra
            symbol.
        score: the steps of ``targets`` to score: all, or the last one of each sequence.
        split: shares of the train, validation and test parts, drawn by ``seed``; or the name of the part of each
            sequence.
        groups: N values, or a data frame of one column. Sequences with the same value stay in one part (recordings of
            one person, say), and the shares count values.
        times: N numbers or dates that order the parts: training comes before the others. Or N arrays (T_i,) of them,
            the time of each target: then sequences are cut at two times, and the held-out steps of a sequence are read
            after the earlier steps, which are not scored again.
        window: longest piece, in steps, that sequences with ``targets`` are cut into; None reads them whole. Held-out
            pieces begin with half a window of earlier steps, not scored.
        weights: "balanced", or a number for each class, in a dict or a Series. With ``labels``, how often training
            reads a sequence of the class; with ``targets``, the weight of its steps in training losses
            (``Categorical.weights``).
        inputs_space, targets_space: spaces of ``inputs``, and of ``targets`` or ``labels``, such as a Product of the
            parts of an event; inferred from the values when None.
        seed: seed of the split.

    Attributes:
        names: sorted names of the input symbols, if ``inputs`` were names.
        classes: sorted names of the classes, if ``labels`` or ``targets`` were names; equal to ``names`` if ``targets``
            hold no other names.

    Raises:
        ValueError: arrays do not fit each other, a part has no sequences, a symbol or a number is out of range, a
            column has no value, there is only one class, or training has no sequence of a class.
    """

    def __init__(
        self,
        inputs: Arrays,
        *,
        targets: Arrays | None = None,
        labels: Arrays | None = None,
        static: Any = None,
        future: Arrays | None = None,
        observed: Sequence[Any] | np.ndarray | Tensor | None = None,
        score: Score = "all",
        split: Sequence[float] | Sequence[str] = (0.8, 0.1, 0.1),
        groups: Any = None,
        times: Any = None,
        window: int | None = None,
        weights: Any = None,
        inputs_space: Space | None = None,
        targets_space: Space | None = None,
        seed: int = 0,
    ) -> None:
        self._at_end = labels is not None
        self._score: Score = "last" if self._at_end else score
        _check_options(targets, labels, score, future, window)
        inputs, targets, self.names, self.classes = _numbered(inputs, targets)
        read_inputs = _inputs(inputs, inputs_space, observed=observed, future=future, static=static)
        if labels is not None:
            labels, self.classes = classes.named(labels)
        name = "targets" if labels is None else "labels"
        self._targets = _read_targets(name, targets if labels is None else labels, targets_space)
        _check_counts(name, read_inputs, self._targets, each_step=not self._at_end)
        parts = self._split(read_inputs, split, groups, times, window, seed)
        train = parts == 0
        if inputs_space is None:
            values, self.inputs = joined(read_inputs, observed, future, static, train)
        else:
            values, self.inputs = read_inputs.values, inputs_space
        self._inputs = Ragged(values, read_inputs.starts)
        self.targets = targets_space or _space(self._targets.values, self.classes)
        self._check_classes(name, parts)
        if weights is not None:
            self._weigh(name, weights, parts)
        self.max_length = int(self._steps.max())
        self.lengths = "whole" if self._score == "last" else "any"
        self._choose("train")

    @property
    def length(self) -> int:
        """Return the steps of the longest sequence; with this ``length``, ``fit`` reads all sequences whole."""
        return int(self.max_length or 0)

    def _split(
        self, inputs: Ragged, split: Any, groups: Any, times: Any, window: int | None, seed: int
    ) -> Int[Tensor, "S"]:
        """Cut the sequences into pieces of each part; also return the index in ``PARTS`` that scores each step."""
        if hasattr(times, "to_numpy"):  # a column of pandas, which would give its dates as objects
            times = times.to_numpy()
        times = list(times) if isinstance(times, Iterable) else times
        if isinstance(times, list) and len(times) == len(inputs) and np.ndim(times[0]) == 1:
            if self._score == "last" or groups is not None:
                other = "groups" if groups is not None else "one scored step of each sequence"
                raise ValueError(f"times has a value for each step, which excludes {other}; give one for each sequence")
            cut = pieces.by_time(inputs, pieces.check_times(times, inputs), shares_of(split), window)
            check_parts(split, f"{len(inputs.values)} steps in order of time", {part for part in PARTS if cut[part]})
        else:
            cut = pieces.whole(inputs, split_parts(len(inputs), split, groups, seed, times), window)
        order = sorted((piece, part) for part in PARTS for piece in cut[part])  # piece i is sequence i unless cut
        self._pieces = torch.tensor([piece for piece, _ in order])
        self._parts = {part: torch.tensor([i for i, (_, of) in enumerate(order) if of == part]) for part in PARTS}
        return pieces.part_of_steps(cut, len(inputs.values))

    def _check_classes(self, name: str, parts: Int[Tensor, "S"]) -> None:
        values = self._targets.values
        if values.is_floating_point():
            return
        if self._at_end:
            classes.check(name, values, parts[self._inputs.starts[1:] - 1], self.classes)
        else:
            there = known(values)
            classes.tell_unseen(name, values[there], parts[there], self.classes)

    def _weigh(self, name: str, weights: Any, parts: Int[Tensor, "S"]) -> None:
        symbols = self._targets.values
        count = self.targets.symbols
        if getattr(self.targets, "weights", ()):
            raise ValueError(f"weights is set, and {name}_space has weights too; give one of them")
        if count is None:
            raise ValueError(f"weights is set, and {name} are of {self.targets}; only classes have weights")
        if self._at_end:
            self._parts["train"] = classes.repeated(weights, symbols, self._parts["train"], self.classes)
        else:
            trained = symbols[(parts == 0) & known(symbols)]
            self.targets = Categorical(count, classes.of_steps(weights, trained, count, self.classes))

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        return self.take(torch.randint(len(self._numbers), (batch_size,), generator=generator), length)

    def take(self, indices: Int[Tensor, "B"], length: int) -> Batch:
        numbers = self._numbers[indices]
        if self._score == "last" and length < (longest := int(self._steps[numbers].max())):
            raise ValueError(f"length is {length}; a label belongs to a whole sequence, and one of these has {longest}")
        return self._read(numbers, length)

    def steps_each(self) -> Int[Tensor, "N"] | None:
        return None if self._steps.min() == self._steps.max() else self._steps[self._numbers]

    def _read(self, numbers: Int[Tensor, "B"], length: int) -> Batch:
        """Read the pieces with these indices; a piece with history that is too long keeps its last steps."""
        start, scored, stop = self._pieces[numbers].unbind(1)
        start = torch.where(scored > start, torch.maximum(start, stop - length), start)
        places = start[:, None] + torch.arange(length)
        inside = places < stop[:, None]
        places = places.clamp(max=len(self._inputs.values) - 1)
        x = _zeroed(self._inputs.values[places], inside)
        if self._at_end:
            mask = inside & (places == stop[:, None] - 1)
            labels = self._targets.values[torch.searchsorted(self._inputs.starts, start, right=True) - 1]
            y = _zeroed(labels[:, None].expand(-1, length, *labels.shape[1:]), mask)
        else:
            y = _zeroed(self._targets.values[places], inside)
            mask = inside & (places >= scored[:, None]) & known(y)
            if self._score == "last":
                mask &= mask.cumsum(1) == mask.sum(1, keepdim=True)
        return without_padding(Batch(x, y, mask), self.inputs, self.targets)

    def stored(self) -> list[np.ndarray]:
        pieces = [] if len(self._pieces) == len(self._inputs) else [self._pieces]
        targets = self._targets.values.split(1) if self._at_end else self._targets.split()
        return [one.numpy() for one in (*self._parts.values(), *pieces, *self._inputs.split(), *targets)]

    def speech(self) -> dict[str, Any]:
        return {name: names for name, names in (("classes", self.classes), ("names", self.names)) if names}

    def speak(self, kept: Mapping[str, Any]) -> None:
        self.classes = list(map(str, kept.get("classes", [])))
        self.names = list(map(str, kept.get("names", [])))

    def encode(self, text: str) -> Tensor:
        return encoded(text, self.names) if self.names else super().encode(text)

    def decode(self, values: Tensor) -> str:
        return decoded(values, self.names) if self.names else super().decode(values)

    def validation(self) -> "Sequences":
        return self._over("validation")

    def test(self) -> "Sequences":
        return self._over("test")

    @property
    def _steps(self) -> Int[Tensor, "P"]:
        """Count the steps of each piece."""
        return self._pieces[:, 2] - self._pieces[:, 0]

    def _over(self, part: str) -> "Sequences":
        sibling = copy.copy(self)
        sibling._choose(part)
        return sibling

    def _choose(self, part: str) -> None:
        self._numbers = self._parts[part]
        self.size = len(self._numbers)


def _check_options(targets: Any, labels: Any, score: str, future: Any, window: Any) -> None:
    if (targets is None) == (labels is None):
        given = "neither is set" if labels is None else "both are set"
        raise ValueError(f"targets, one for each step, or labels, one for each sequence: {given}; give one of them")
    if score not in ("all", "last"):
        raise ValueError(f"score is {score!r}; it must be all or last")
    if labels is not None and future is not None:
        raise ValueError("future is set with labels; it holds values known of the next target, and needs targets")
    if window is not None:
        whole_number("window", window, 2)
        if labels is not None or score == "last":
            raise ValueError("window is set, and one step of each sequence is scored; it must then be read whole")


def _numbered(inputs: Any, targets: Any) -> tuple[Any, Any, list[str], list[str]]:
    """Convert names to symbols, and return the names of inputs and targets; other values are unchanged."""
    names: list[str] = []
    classes: list[str] = []
    if has_names(inputs):
        names = names_of("inputs", inputs)
        inputs = numbered("inputs", inputs, names)
    if has_names(targets):
        classes = names_of("targets", targets, gaps=True)
        classes = names if set(classes) <= set(names) else classes
        targets = numbered("targets", targets, classes, gaps=True)
    return inputs, targets, names, classes


def _inputs(values: Any, space: Space | None, **beside: Any) -> Ragged:
    """Read the inputs; with a named space, there must be no gaps and no other inputs."""
    if space is None:
        return read("inputs", values, gaps="values")
    for name, given in beside.items():
        if given is not None:
            raise ValueError(f"{name} is set with inputs_space, which allows no other inputs; leave one out")
    return in_space("inputs", read("inputs", values, real=space.dtype.is_floating_point), space)


def _read_targets(name: str, values: Any, space: Space | None) -> Ragged:
    """Read a target for each step, or one for each sequence."""
    real = space is not None and space.dtype.is_floating_point
    if name == "targets":
        found = read(name, values, gaps="steps", real=real)
    else:
        array = read_array(name, values, "N", real=real)
        found = Ragged(array, ends([1] * len(array)))
    return found if space is None else in_space(name, found, space)


def _zeroed(values: Tensor, where: Bool[Tensor, "B T"]) -> Tensor:
    """Set values to 0 where the mask is False."""
    return values.where(where if values.dim() == 2 else where[..., None], torch.zeros((), dtype=values.dtype))


def _check_counts(name: str, inputs: Ragged, targets: Ragged, *, each_step: bool) -> None:
    if len(targets) != len(inputs):
        raise ValueError(f"{name} has {len(targets)} entries; there must be one for each of the {len(inputs)} inputs")
    for i, (x, y) in enumerate(zip(inputs.lengths.tolist(), targets.lengths.tolist(), strict=True)):
        if each_step and x != y:
            raise ValueError(f"{name}[{i}] has {y} steps; there must be one for each of the {x} of inputs[{i}]")


def _space(values: Tensor, classes: list[str]) -> Space:
    """Infer the space of targets: numbers that are all 0 or 1, and not constant, are bits."""
    if values.is_floating_point():
        known = values[values.isfinite()]
        is_bits = bool(((known == 0) | (known == 1)).all()) and bool((known != known[:1]).any())
        return Bits(values.shape[1]) if is_bits else Real(values.shape[1])
    return Categorical(len(classes) or max(1, 1 + int(values.max())))
