import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.core.batch import Batch
from nounroll.data.corpus import TokenCorpus, split_tail
from nounroll.data.task import SequenceTask, draw


def places(count: int, **options: object) -> TokenCorpus:
    """A corpus whose tokens are their own positions."""
    return TokenCorpus(tokens=np.arange(count), symbols=count, **options)  # type: ignore[arg-type]


def read(task: SequenceTask, length: int) -> set[int]:
    """Every position that a few hundred windows read or predict."""
    batch = draw(task, 400, length, 0, "any")
    return set(batch.inputs.unique().tolist()) | set(batch.targets.unique().tolist())


def check_disjoint(task: SequenceTask, length: int) -> None:
    train, validation, test = (read(part, length) for part in (task, task.validation(), task.test()))
    assert max(train) < min(validation)
    assert max(validation) < min(test)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(20, 300), fraction=st.floats(0.01, 0.9), seed=st.integers(0, 1000))
def test_windows_are_consecutive_and_parts_disjoint(count: int, fraction: float, seed: int) -> None:
    task = places(count, fraction=fraction)
    lengths = task.max_length, task.validation().max_length, task.test().max_length
    assert None not in lengths
    assert sum(n + 1 for n in lengths if n) == count
    length = min(n for n in lengths if n)
    batch = draw(task, 8, length, seed, "train")
    steps = torch.arange(length)
    assert torch.equal(batch.inputs, batch.inputs[:, :1] + steps)
    assert torch.equal(batch.targets, batch.inputs + 1)
    assert batch.mask.all()
    check_disjoint(task, length)


class Leaky(TokenCorpus):
    """A planted bug: windows start anywhere in the training part, and run on beyond its end."""

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        if len(self._data) < 100:
            return super().sample(batch_size, length, generator)
        everything = np.concatenate([self._data, self._held_out])
        starts = torch.randint(len(self._data), (batch_size, 1), generator=generator).numpy()
        return Batch.next_step(torch.from_numpy(everything[starts + np.arange(length + 1)]))


class SameTest(TokenCorpus):
    """A planted bug: what students are chosen by is what they are measured on."""

    def test(self) -> "SameTest":
        return self.validation()  # type: ignore[return-value]


def test_the_check_of_disjointness_can_fail() -> None:
    with pytest.raises(AssertionError):
        check_disjoint(Leaky(tokens=np.arange(400), symbols=400), 10)
    with pytest.raises(AssertionError):
        check_disjoint(SameTest(tokens=np.arange(400), symbols=400), 10)


def test_every_place_is_reached() -> None:
    task = places(40)
    assert read(task, 5) == set(range(36))
    assert read(task.validation(), 1) == {36, 37}
    assert read(task.test(), 1) == {38, 39}
    assert read(task, 35) == set(range(36))  # the longest there is


def test_parts_know_their_siblings() -> None:
    task = places(100)
    for part in (task, task.validation(), task.test()):
        assert read(part.validation(), 4) == set(range(90, 95))
        assert read(part.test(), 4) == set(range(95, 100))


def test_too_long_says_how_much_there_is() -> None:
    task = places(40)
    with pytest.raises(ValueError, match="length is 36; TokenCorpus holds sequences of at most 35"):
        draw(task, 1, 36, 0, "train")
    with pytest.raises(ValueError, match=r"length is 2; its windows need 3 elements, .* holds 2"):
        task.validation().sample(1, 2, torch.Generator())


@pytest.mark.parametrize("bad", [-1, 9])
def test_tokens_outside_the_space(bad: int) -> None:
    tokens = np.zeros(50, dtype=np.int16)
    tokens[37] = bad
    with pytest.raises(ValueError, match=rf"^my\.npy holds {bad} at position 37; the tokens must be 0\.\.8$"):
        TokenCorpus(tokens=tokens, symbols=9, name="my.npy")


def test_tokens_that_are_no_tokens() -> None:
    with pytest.raises(ValueError, match=r"float64 of shape \(5,\); it must be a 1-D array of integers"):
        TokenCorpus(tokens=np.zeros(5), symbols=2)
    with pytest.raises(ValueError, match=r"shape \(5, 2\)"):
        TokenCorpus(tokens=np.zeros((5, 2), dtype=int), symbols=2)
    with pytest.raises(ValueError, match=r"^tokens holds 5 elements; at least 6 are needed, 2 to train on and 4"):
        TokenCorpus(tokens=np.zeros(5, dtype=int), symbols=2)
    for train, held_out in ((1, 4), (2, 3)):
        message = f"^tokens holds {train} elements to train on and {held_out} to hold out; at least 2 and 4 are needed$"
        with pytest.raises(ValueError, match=message):
            TokenCorpus(tokens=np.zeros(train, dtype=int), held_out=np.zeros(held_out, dtype=int), symbols=2)
    with pytest.raises(ValueError, match=r"fraction is 1\.0"):
        split_tail("tokens", np.zeros(9), 1.0)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "<u4", "i8", "u8"])
def test_every_integer_type(dtype: str) -> None:
    task = TokenCorpus(tokens=np.arange(100, dtype=dtype), symbols=100)
    assert draw(task, 2, 9, 0, "train").inputs.dtype == torch.int64
