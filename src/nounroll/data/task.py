"""Tasks: sources of batches, and the interface for the user's data."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from nounroll.core.batch import Batch, Space
from nounroll.core.notices import notice
from nounroll.core.seeding import generator
from nounroll.data.checks import whole_number
from nounroll.data.padding import without_padding

_ROWS = 64  # sequences of a held-out batch
_LANES = 8  # rows of a held-out stream
_SORTED, _LENGTHS = 8, 4  # batches sorted by length together, and number of their lengths

Lengths: TypeAlias = Literal["any", "whole"] | int


class SequenceTask(ABC):
    """Source of sequences. Subclass it, name the two spaces, and write ``sample``.

    Attributes:
        inputs: the space of ``x_t``.
        targets: the space of ``y_t``.
        max_length: the longest T that ``sample`` can give; None without a limit.
        lengths: values of T for the same task, so that training may start with shorter sequences: "any"; "whole", only
            the recipe's length; or a number, of which T must be a multiple. None: decided from the data, see
            ``nounroll.experiments.facts``.
        size: number of sequences of a finite task; None for an endless source. ``take`` returns the sequences of a
            finite task, training reads them in epochs, and held-out parts are measured whole.
        autoregressive: True if ``y_t`` is the next input, so that the student can generate.
        stream: True for one long sequence that ``follow`` reads in order. Truncated BPTT then carries the memory from
            batch to batch. Held-out parts are measured with carried memory, and also from m_∅.
    """

    inputs: Space
    targets: Space
    max_length: int | None = None
    lengths: Lengths | None = None
    size: int | None = None
    autoregressive: bool = False
    stream: bool = False

    @abstractmethod
    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        """Draw a batch that depends only on the state of ``generator``.

        Unscored targets may hold padding such as nan or -100. So may inputs after the last scored step of a sequence.
        """

    def take(self, indices: Int[Tensor, "B"], length: int) -> Batch:
        """Return the sequences of a finite task with these indices, 0 .. size - 1, the same for the same indices."""
        raise ValueError(
            f"{type(self).__name__}.size is {self.size}, and it has no take method;"
            " it must have take(indices, length), or a size of None"
        )

    def follow(self, batch_size: int, length: int, step: int) -> Batch:
        """Return batch number ``step`` of a stream: each row continues where it ended in the previous batch.

        The batch depends only on the arguments. Where a row restarts the sequence, the batch has a reset.
        """
        raise ValueError(
            f"{type(self).__name__}.stream is True, and it has no follow method;"
            " it must have follow(batch_size, length, step), or a stream of False"
        )

    def steps_each(self) -> Int[Tensor, "N"] | None:
        """Return the number of steps of each sequence of a finite task, if they differ.

        Training then makes batches of sequences of similar lengths, as long as their longest. None reads every batch at
        the requested length.
        """
        return None

    def validation(self) -> "SequenceTask":
        """Return the task over held-out data, which chooses the student. Generated data may return itself."""
        return self

    def test(self) -> "SequenceTask":
        """Return the task over test data, which no choice has seen, for the final figures.

        The default is ``validation``; generated data then draws other sequences.
        """
        return self.validation()

    def stored(self) -> Iterable[Any]:
        """Return the arrays of the data (NumPy or ``OnDisk``) for its fingerprint; none for generated data."""
        return ()

    def speech(self) -> dict[str, Any]:
        """Return the values that ``prompt``, ``encode`` and ``decode`` need, for a run to keep."""
        return {}

    def speak(self, kept: Mapping[str, Any]) -> None:
        """Restore the values of ``speech`` in a task without data."""
        assert not kept

    def prompt(self) -> Tensor:
        """Return the default prompt of generation, inputs (P,) or (P, d)."""
        return self.inputs.zeros(1)

    def encode(self, text: str) -> Tensor:
        """Convert a typed prompt to inputs (P,) or (P, d). Default: numbers separated by spaces."""
        try:
            values = self.inputs.parse(text.replace(",", " ").split())
        except (ValueError, RuntimeError):
            raise no_numbers(text, len(self.inputs.columns)) from None
        self.inputs.check("prompt", values)
        return values

    def decode(self, values: Tensor) -> str:
        """Convert generated values (P,) or (P, d) to readable text."""
        rows = values.tolist()
        return " ".join(str(v) if isinstance(v, int) else ",".join(f"{c:.4g}" for c in v) for v in rows)


def no_numbers(text: str, columns: int) -> ValueError:
    """Return the error for a typed prompt that is not so many numbers for each step."""
    each = f", {columns} for each step" if columns > 1 else ""
    return ValueError(f"prompt is {text!r}; this task reads numbers between spaces{each}")


def draw(task: SequenceTask, batch_size: int, length: int, seed: int, stream: str, step: int = 0) -> Batch:
    """Draw the batch of (seed, stream, step), checked against the task's spaces.

    Raises:
        ValueError: the length is more than the data has, or ``sample`` returned an invalid batch.
    """
    return drawn(task, batch_size, length, generator(seed, stream, step))


def drawn(task: SequenceTask, batch_size: int, length: int, generator: torch.Generator) -> Batch:
    """Draw a batch with a generator, checked against the task's spaces.

    Raises:
        ValueError: see ``draw``.
    """
    _check_length(task, length)
    return _checked(task, "sample", task.sample(batch_size, length, generator), batch_size, length)


def followed(task: SequenceTask, batch_size: int, length: int, step: int) -> Batch:
    """Return a batch of a stream, checked against the task's spaces.

    Raises:
        ValueError: see ``draw``.
    """
    _check_length(task, length)
    return _checked(task, "follow", task.follow(batch_size, length, step), batch_size, length)


def training_batch(task: SequenceTask, batch_size: int, length: int, seed: int, step: int) -> Batch:
    """Return the batch of a training step; finite tasks are read in epochs, each in a new order.

    Raises:
        ValueError: see ``draw``.
    """
    if task.size is None:
        return draw(task, batch_size, length, seed, "train", step)
    _check_size(task)
    _check_length(task, length)
    steps = task.steps_each()
    if steps is None:
        indices = _turns(task.size, seed, step * batch_size, batch_size)
    else:
        indices = _packed(steps, batch_size, seed, step)
        length = _rounded(int(steps[indices].max()), length)
    return _checked(task, "take", task.take(indices, length), batch_size, length)


def batch_lengths(task: SequenceTask, length: int) -> list[int]:
    """List the lengths that ``training_batch`` may give where it is asked for one."""
    steps = task.steps_each()
    return [length] if steps is None else sorted({_rounded(one, length) for one in steps.unique().tolist()})


def _turns(size: int, seed: int, start: int, count: int) -> Int[Tensor, "count"]:
    """Return the next ``count`` sequences from place ``start`` in all epochs."""
    places = torch.arange(start, start + count)
    epochs = places // size
    orders = {epoch: _order(size, seed, epoch) for epoch in epochs.unique().tolist()}
    return torch.stack([orders[e][p] for e, p in zip(epochs.tolist(), (places % size).tolist(), strict=True)])


def _packed(steps: Int[Tensor, "N"], batch_size: int, seed: int, step: int) -> Int[Tensor, "B"]:
    """Return the sequences of a batch of similar lengths: several batches are sorted together, then shuffled."""
    count = max(1, min(_SORTED, len(steps) // batch_size))  # within an epoch, so that no sequence is in a batch twice
    group, place = divmod(step, count)
    indices = _turns(len(steps), seed, group * count * batch_size, count * batch_size)
    indices = indices[steps[indices].argsort(stable=True)]
    place = int(torch.randperm(count, generator=generator(seed, "packed", group))[place])
    return indices[place * batch_size : (place + 1) * batch_size]


def _rounded(steps: int, length: int) -> int:
    """Round steps up to one of a few lengths, at most ``length``."""
    each = -(-length // _LENGTHS)
    return min(length, -(-steps // each) * each)


def batch_of_length(task: SequenceTask, rows: int, length: int) -> Batch:
    """Return a training batch of this length; its sequences are drawn if the task is not finite.

    Raises:
        ValueError: see ``draw``.
    """
    steps = task.steps_each()
    fitting = [] if steps is None else (steps <= length).nonzero()[:, 0]
    if not len(fitting):
        return draw(task, rows, length, 0, "trial")
    return _checked(task, "take", task.take(fitting[torch.arange(rows) % len(fitting)], length), rows, length)


@lru_cache(maxsize=4)
def _order(size: int, seed: int, epoch: int) -> Int[Tensor, "N"]:
    return torch.randperm(size, generator=generator(seed, "epoch", epoch))


def held_out(task: SequenceTask, sequences: int, length: int, seed: int, stream: str) -> Iterator[Batch]:
    """Yield the same held-out batches each time: drawn sequences, or all of a finite part or some at equal distances.

    Batches of a stream are in order: a row continues where it ended in the previous batch. No step is read twice.

    Raises:
        ValueError: see ``draw``.
    """
    if task.stream:
        whole = (task.max_length or sequences * length) // length  # number that exists
        count = max(1, min(sequences, whole))
        rows = max(1, min(_LANES, count // _LANES))  # few, so that each row is long
        steps = count // rows
        yield from (followed(task, rows, length, step) for step in range(steps))
        return
    if task.size is None:
        counts = [min(_ROWS, sequences - start) for start in range(0, sequences, _ROWS)]
        yield from (draw(task, count, length, seed, stream, index) for index, count in enumerate(counts))
        return
    _check_size(task)
    _check_length(task, length)
    count = min(sequences, task.size)
    for indices in (torch.arange(count) * task.size // count).split(_ROWS):
        yield _checked(task, "take", task.take(indices, length), len(indices), length)


def tell_cut(task: SequenceTask, length: int) -> None:
    """Give a notice if sequences are longer than the length."""
    if task.size is not None and task.lengths == "any" and length < (longest := task.max_length or 0):
        notice(
            f"length is {length}, and the longest sequence of {type(task).__name__} has {longest} steps;"
            f" longer sequences are cut after {length} steps"
        )


def _check_length(task: SequenceTask, length: int) -> None:
    if length < 1:
        raise ValueError(f"length is {length}; it must be at least 1")
    if task.max_length is not None and length > task.max_length:
        raise ValueError(f"length is {length}; {type(task).__name__} holds sequences of at most {task.max_length}")
    if task.lengths == "whole" and length < (task.max_length or 0) and task.steps_each() is not None:
        raise ValueError(
            f"length is {length}; a label belongs to a whole sequence, and the longest has {task.max_length}"
        )


def _check_size(task: SequenceTask) -> None:
    whole_number(f"{type(task).__name__}.size", task.size, 1)


def _checked(task: SequenceTask, method: str, batch: object, batch_size: int, length: int) -> Batch:
    name = type(task).__name__
    if not isinstance(batch, Batch):
        raise ValueError(f"{name}.{method} returned {type(batch).__name__}; it must return a nounroll.Batch")
    batch = without_padding(batch.in_spaces(task.inputs, task.targets), task.inputs, task.targets)
    batch.check(name, task.inputs, task.targets, batch_size, length)
    return batch
