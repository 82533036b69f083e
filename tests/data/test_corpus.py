import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.batch import Batch
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
    train, held_out = read(task, length), read(task.validation(), length)
    assert not train & held_out
    assert max(train) < min(held_out)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(20, 300), fraction=st.floats(0.01, 0.9), seed=st.integers(0, 1000))
def test_windows_are_consecutive_and_parts_disjoint(count: int, fraction: float, seed: int) -> None:
    task = places(count, fraction=fraction)
    lengths = task.max_length, task.validation().max_length
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
        everything = np.concatenate([self._data, self._held_out])
        starts = torch.randint(len(self._data), (batch_size, 1), generator=generator).numpy()
        return Batch.next_step(torch.from_numpy(everything[starts + np.arange(length + 1)]))


def test_the_check_of_disjointness_can_fail() -> None:
    with pytest.raises(AssertionError):
        check_disjoint(Leaky(tokens=np.arange(200), symbols=200), 10)


def test_every_place_is_reached() -> None:
    task = places(40)
    assert read(task, 5) == set(range(36))
    assert read(task.validation(), 3) == set(range(36, 40))
    assert read(task, 35) == set(range(36))  # the longest there is


def test_validation_of_validation_is_itself() -> None:
    held = places(100).validation()
    assert torch.equal(draw(held, 4, 5, 0, "v").inputs, draw(held.validation(), 4, 5, 0, "v").inputs)


def test_too_long_says_how_much_there_is() -> None:
    task = places(40)
    with pytest.raises(ValueError, match="length is 36; TokenCorpus holds sequences of at most 35"):
        draw(task, 1, 36, 0, "train")
    with pytest.raises(ValueError, match=r"length is 4; windows of it need 5 elements .* holds 4"):
        task.validation().sample(1, 4, torch.Generator())


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
    with pytest.raises(ValueError, match="tokens holds 3 elements; at least 4 are needed"):
        TokenCorpus(tokens=np.zeros(3, dtype=int), symbols=2)
    with pytest.raises(ValueError, match=r"fraction is 1\.0"):
        split_tail("tokens", np.zeros(9), 1.0)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "<u4", "i8", "u8"])
def test_every_integer_type(dtype: str) -> None:
    task = TokenCorpus(tokens=np.arange(100, dtype=dtype), symbols=100)
    assert draw(task, 2, 9, 0, "train").inputs.dtype == torch.int64
