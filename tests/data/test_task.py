"""Where batches come from: finite tasks in epochs, held-out parts whole, and one line for a task that is none."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nounroll.core.batch import Batch, Categorical
from nounroll.data.task import SequenceTask, _order, draw, held_out, training_batch


class Numbered(SequenceTask):
    """Sequence i is i, i, i, ...; 50 steps at most."""

    max_length = 50

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.inputs = self.targets = Categorical(size or 100)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        return self._batch(torch.randint(self.inputs.n, (batch_size,), generator=generator), length)  # type: ignore[union-attr]

    def take(self, indices: Tensor, length: int) -> Batch:
        return self._batch(indices, length)

    def _batch(self, indices: Tensor, length: int) -> Batch:
        values = indices[:, None].expand(-1, length)
        return Batch(values, values)


def seen(task: SequenceTask, batch_size: int, steps: range, seed: int = 0) -> list[int]:
    return [i for step in steps for i in training_batch(task, batch_size, 3, seed, step).inputs[:, 0].tolist()]


def check_epochs(task: SequenceTask, batch_size: int, epochs: int) -> list[list[int]]:
    """Each epoch holds each sequence exactly once. The epochs are given back."""
    size = task.size or 0
    order = seen(task, batch_size, range(-(-epochs * size // batch_size)))
    found = [order[i * size : (i + 1) * size] for i in range(epochs)]
    assert all(Counter(epoch) == Counter(range(size)) for epoch in found)
    return found


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 60), batch_size=st.integers(1, 150))
def test_each_epoch_holds_each_sequence_once(size: int, batch_size: int) -> None:
    """Also where batches cross the end of an epoch, or hold several."""
    check_epochs(Numbered(size), batch_size, 3)


def test_each_epoch_has_an_order_of_its_own() -> None:
    epochs = check_epochs(Numbered(40), 7, 6)
    assert len({str(epoch) for epoch in epochs}) == 6
    assert list(range(40)) not in epochs
    assert seen(Numbered(40), 7, range(6), seed=1) != seen(Numbered(40), 7, range(6), seed=0)


class Repeating(Numbered):
    """A planted bug: the last sequence is given as the first."""

    def take(self, indices: Tensor, length: int) -> Batch:
        return super().take(torch.where(indices == 39, 0, indices), length)


def test_the_check_of_epochs_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        check_epochs(Repeating(40), 7, 2)

    def with_replacement(size: int, seed: int, epoch: int) -> Tensor:
        return torch.randint(size, (size,), generator=torch.Generator().manual_seed(seed + epoch))

    monkeypatch.setattr("nounroll.data.task._order", with_replacement)
    with pytest.raises(AssertionError):
        check_epochs(Numbered(40), 7, 2)


@pytest.mark.parametrize("size", [40, None])
def test_a_training_batch_is_a_function_of_seed_and_step(size: int | None) -> None:
    """So a run resumes at any step, in another process, and no global randomness is used up."""
    before = torch.random.get_rng_state()
    in_order = [seen(Numbered(size), 7, range(step, step + 1)) for step in range(30)]
    for step in (29, 0, 13, 5, 13):
        _order.cache_clear()  # as in another process
        assert seen(Numbered(size), 7, range(step, step + 1)) == in_order[step]
    assert len({str(batch) for batch in in_order}) == 30
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_changed_batch_leaves_later_epochs_alone() -> None:
    """Orders are kept between steps: what is given out is a copy."""
    task = Numbered(8)
    first = training_batch(task, 8, 1, 0, 0)
    kept = first.inputs.clone()
    first.inputs.copy_(torch.zeros(8, 1, dtype=torch.int64))
    assert torch.equal(training_batch(task, 8, 1, 0, 0).inputs, kept)


def test_a_finite_part_is_held_out_whole() -> None:
    for size, sequences in ((5, 100), (64, 64), (130, 1000), (130, 70)):
        batches = list(held_out(Numbered(size), sequences, 3, seed=0, stream="validation"))
        assert all(batch.batch_size <= 64 for batch in batches)
        count = min(size, sequences)  # of a part that is too large, those at equal distances
        assert [i for b in batches for i in b.inputs[:, 0].tolist()] == [i * size // count for i in range(count)]


def test_an_endless_part_is_drawn_the_same_each_time() -> None:
    def drawn(seed: int, stream: str) -> list[int]:
        batches = held_out(Numbered(None), 150, 3, seed, stream)
        return [i for batch in batches for i in batch.inputs[:, 0].tolist()]

    assert len(drawn(0, "validation")) == 150
    assert drawn(0, "validation") == drawn(0, "validation")
    assert drawn(0, "validation") != drawn(1, "validation")
    assert drawn(0, "validation") != drawn(0, "test")


def test_the_test_part_is_the_validation_part_when_left_out() -> None:
    class Own(Numbered):
        def validation(self) -> SequenceTask:
            return other

    other = Numbered(3)
    assert Own(9).test() is other
    task = Numbered(9)
    assert task.validation() is task.test() is task


# -- one line for a task that is none -------------------------------------------------------------


class WithoutTake(Numbered):
    take = SequenceTask.take


class Took(Numbered):
    """What ``take`` gives is changed by a function."""

    def __init__(self, change: Callable[[Batch], Any]) -> None:
        super().__init__(9)
        self._change = change

    def take(self, indices: Tensor, length: int) -> Any:
        return self._change(self._batch(indices, length))


class BatchOf(Batch):
    """A batch that no type checker looks at."""

    def __init__(
        self, inputs: Tensor, targets: Tensor, mask: Tensor | None = None, resets: Tensor | None = None
    ) -> None:
        mask = torch.ones(targets.shape[:2]).bool() if mask is None else mask
        for name, value in (("inputs", inputs), ("targets", targets), ("mask", mask), ("resets", resets)):
            object.__setattr__(self, name, value)


WRONG: list[tuple[str, SequenceTask, str]] = [
    (
        "no take",
        WithoutTake(9),
        "WithoutTake.size is 9, and it has no take method; it must have take(indices, length), or a size of None",
    ),
    ("no batch", Took(lambda b: b.inputs), "Took.take returned Tensor; it must return a nounroll.Batch"),
    ("nothing", Took(lambda b: None), "Took.take returned NoneType; it must return a nounroll.Batch"),
    (
        "too few",
        Took(lambda b: b.rows(0, 1)),
        "Took: inputs have shape (1, 3); Categorical(n=9) at this size needs (4, 3)",
    ),
    (
        "too short",
        Took(lambda b: BatchOf(b.inputs[:, 1:], b.targets)),
        "Took: inputs have shape (4, 2); Categorical(n=9) at this size needs (4, 3)",
    ),
    (
        "a symbol too high",
        Took(lambda b: Batch(b.inputs, b.targets + 9)),
        "Took: targets holds the symbol 17; Categorical(9) allows 0..8",
    ),
    ("no size", Numbered(0), "Numbered.size is 0; it must be at least 1"),
]


@pytest.mark.parametrize(("task", "message"), [wrong[1:] for wrong in WRONG], ids=[wrong[0] for wrong in WRONG])
def test_a_finite_task_of_the_wrong_form_gives_one_line(task: SequenceTask, message: str) -> None:
    def train() -> object:
        return [training_batch(task, 4, 3, 0, step) for step in range(3)]

    def measure() -> object:
        task.size = min(task.size or 0, 4)
        return list(held_out(task, 4, 3, 0, "validation"))

    for use in (train, measure):
        with pytest.raises(
            ValueError, match=rf"^{re.escape(message)}$".replace("17", r"\d+").replace(r"is\ 9", r"is\ \d")
        ):
            use()


def test_a_size_that_is_no_whole_number_gives_one_line() -> None:
    task = Numbered(9)
    task.size = 9.5  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"^Numbered\.size is 9\.5; it must be a whole number, at least 1$"):
        training_batch(task, 4, 3, 0, 0)


@pytest.mark.parametrize(
    ("length", "message"), [(0, "it must be at least 1"), (51, "Numbered holds sequences of at most 50")]
)
def test_a_length_that_the_task_does_not_have_gives_one_line(length: int, message: str) -> None:
    for size in (9, None):
        task = Numbered(size)
        uses: list[Callable[[], object]] = [
            lambda task=task: draw(task, 2, length, 0, "any"),
            lambda task=task: training_batch(task, 2, length, 0, 0),
            lambda task=task: list(held_out(task, 2, length, 0, "any")),
        ]
        for use in uses:
            with pytest.raises(ValueError, match=f"^length is {length}; {message}$"):
                use()
