"""Everyday problems in plain torch: data, parts and a score on a test part. Nothing here knows a training library.

Inputs ``x`` are (B, T) int64 symbols or (B, T, d) float numbers, and so are targets ``y``; ``mask`` (B, T) says which
targets count. Every output may depend on the inputs up to its own step only. A sequence that is shorter than its batch
is padded at the end, where nothing counts.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from suite_tasks.measures import Measure

Predict: TypeAlias = Callable[[Tensor], Tensor]  # inputs -> logits (B, T, n) or means (B, T, d)
_ROWS = 128  # sequences scored at a time
_VALIDATION_SEED, _TEST_SEED = 7_000_001, 9_000_001  # of generated sequences; training seeds are small numbers


class MissingData(Exception):
    """A task's data is not installed. The message is one line with the remedy."""


@dataclass(frozen=True)
class Symbols:
    """A space of the symbols 0 .. n - 1."""

    n: int

    @property
    def outputs(self) -> int:
        """Numbers that a model gives for one target: a logit for every symbol."""
        return self.n


@dataclass(frozen=True)
class Numbers:
    """A space of vectors of d real numbers."""

    d: int

    @property
    def outputs(self) -> int:
        """Numbers that a model gives for one target: its mean."""
        return self.d


Space: TypeAlias = Symbols | Numbers


class Batch(NamedTuple):
    """Sequences side by side."""

    inputs: Tensor
    targets: Tensor
    mask: Tensor


@dataclass(kw_only=True)
class Problem(ABC):
    """A task with a training, a validation and a test part.

    Attributes:
        name: a word for the command line.
        title: one line about it.
        inputs, targets: the two spaces.
        length: steps of a (longest) sequence of the training and validation parts.
        seconds: budget of CPU time.
        measure: of the test part.
        choice: measure of the validation part, where it is another.
        unit: factor from the scale of the targets to that of the measure, where the measure has one.
        next_input: every target is the input that follows.
        acting: steps of the longest sequence that a score by acting makes.
        floor: errors below it count as equally good; 0 where there is no such limit.
        group: heading in tables and pictures.
    """

    name: str
    title: str
    inputs: Space
    targets: Space
    length: int
    seconds: float
    measure: Measure
    choice: Measure | None = None
    unit: float = 1.0
    next_input: bool = False
    acting: int = 0
    floor: float = 0.0
    group: str = ""

    @abstractmethod
    def training(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Endless training batches; the same seed gives the same batches."""

    @abstractmethod
    def validation(self) -> list[Batch]:
        """Fixed batches for choosing: a checkpoint, a learning rate."""

    @abstractmethod
    def test(self, length: int | None = None) -> list[Batch]:
        """Fixed batches for the score alone."""

    def score(self, predict: Predict) -> float:
        """The measure on the test part."""
        return self.measured(predict, self.test(), self.measure)

    def scores(self, predict: Predict) -> dict[str, float]:
        """The measure, and further figures by name."""
        return {self.measure.name: self.score(predict)}

    def validate(self, predict: Predict) -> float:
        """The figure to choose by, on the validation part."""
        return self.measured(predict, self.validation(), self.choice or self.measure)

    @torch.no_grad()
    def measured(self, predict: Predict, batches: list[Batch], measure: Measure) -> float:
        """A measure over all scored steps of some batches."""
        outputs = torch.cat([predict(batch.inputs)[batch.mask] for batch in batches])
        return measure.of(outputs, torch.cat([batch.targets[batch.mask] for batch in batches])) * self.unit


Sampler: TypeAlias = Callable[[str, int, int, torch.Generator], Batch]  # part, batch size, length, generator


@dataclass(kw_only=True)
class Sampled(Problem):
    """A problem whose sequences are drawn: made up, or cut from long data.

    Attributes:
        draw: ``draw(part, batch_size, length, generator)`` for the part train, validation or test.
        validation_sequences, test_sequences: how many are drawn for each.
        longer: further lengths at which the test part is scored.
        stream: one long row of training symbols of which each predicts the next; None where there is none.
    """

    draw: Sampler
    validation_sequences: int = 256
    test_sequences: int = 1024
    longer: tuple[int, ...] = ()
    stream: Tensor | None = field(default=None, repr=False)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        """A training batch: the same generator state, the same batch."""
        return self.draw("train", batch_size, length, generator)

    def training(self, batch_size: int, seed: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield self.sample(batch_size, self.length, generator)

    def validation(self) -> list[Batch]:
        return self._drawn("validation", self.validation_sequences, self.length, _VALIDATION_SEED)

    def test(self, length: int | None = None) -> list[Batch]:
        longer = length is not None and length > self.length
        return self._drawn("test", self.test_sequences // (4 if longer else 1), length or self.length, _TEST_SEED)

    def scores(self, predict: Predict) -> dict[str, float]:
        found = super().scores(predict)
        for length in self.longer:
            found[f"{self.measure.name} at {length}"] = self.measured(predict, self.test(length), self.measure)
        return found

    def _drawn(self, part: str, count: int, length: int, seed: int) -> list[Batch]:
        generator = torch.Generator().manual_seed(seed)
        sizes = [min(_ROWS, count - start) for start in range(0, count, _ROWS)]
        return [self.draw(part, size, length, generator) for size in sizes]


@dataclass(kw_only=True)
class Finite(Problem):
    """A problem of a fixed set of sequences, each of its own length.

    Attributes:
        sequences: inputs of each, (T_i,) or (T_i, d).
        split: the part of each: train, validation or test.
        labels: one target a sequence, (N,) or (N, d), scored at its last step; None with ``steps``.
        steps: targets of each, (T_i,) or (T_i, d), scored at every step; None with ``labels``.
    """

    sequences: list[Tensor] = field(repr=False)
    split: list[str] = field(repr=False)
    labels: Tensor | None = field(default=None, repr=False)
    steps: list[Tensor] | None = field(default=None, repr=False)

    def rows(self, part: str) -> list[int]:
        """The places of a part's sequences."""
        return [row for row, name in enumerate(self.split) if name == part]

    def batch(self, rows: list[int]) -> Batch:
        """Some sequences, padded at the end with zeros to the longest of them."""
        inputs = torch.nn.utils.rnn.pad_sequence([self.sequences[row] for row in rows], batch_first=True)
        lengths = torch.tensor([len(self.sequences[row]) for row in rows])
        places = torch.arange(inputs.shape[1])
        if self.steps is not None:
            targets = torch.nn.utils.rnn.pad_sequence([self.steps[row] for row in rows], batch_first=True)
            return Batch(inputs, targets, places < lengths[:, None])
        assert self.labels is not None
        mask = places == lengths[:, None] - 1
        labels = self.labels[rows]
        targets = labels.new_zeros(*mask.shape, *labels.shape[1:])
        targets[mask] = labels
        return Batch(inputs, targets, mask)

    def training(self, batch_size: int, seed: int) -> Iterator[Batch]:
        rows, generator = torch.tensor(self.rows("train")), torch.Generator().manual_seed(seed)
        while True:
            for some in rows[torch.randperm(len(rows), generator=generator)].split(batch_size):
                yield self.batch(some.tolist())

    def validation(self) -> list[Batch]:
        return self._part("validation")

    def test(self, length: int | None = None) -> list[Batch]:
        assert length is None
        return self._part("test")

    def _part(self, part: str) -> list[Batch]:
        rows = sorted(self.rows(part), key=lambda row: len(self.sequences[row]))
        return [self.batch(rows[start : start + _ROWS]) for start in range(0, len(rows), _ROWS)]


def random_split(split: list[str], share: float, seed: int, into: str = "validation") -> list[str]:
    """A split in which a random share of the training sequences is of another part."""
    train = [row for row, part in enumerate(split) if part == "train"]
    chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[: round(share * len(train))]
    moved = {train[place] for place in chosen.tolist()}
    return [into if row in moved else part for row, part in enumerate(split)]


def longest(sequences: list[Tensor], split: list[str]) -> int:
    """Steps of the longest sequence outside the test part."""
    return max(len(sequence) for sequence, part in zip(sequences, split, strict=True) if part != "test")


def standardised(sequences: list[Tensor], split: list[str]) -> list[Tensor]:
    """Sequences of numbers with mean 0 and deviation 1 over the training part, coordinate by coordinate."""
    train = torch.cat([sequence for sequence, part in zip(sequences, split, strict=True) if part == "train"])
    mean, deviation = train.mean(0), train.std(0).clamp(min=1e-6)
    return [((sequence - mean) / deviation).float() for sequence in sequences]
