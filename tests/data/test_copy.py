import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.data.copy import StringCopy
from nounroll.data.task import draw


@settings(max_examples=40, deadline=None)
@given(symbols=st.integers(2, 20), length=st.integers(3, 60), reverse=st.booleans(), seed=st.integers(0, 2**31))
def test_the_scored_targets_are_the_string(symbols: int, length: int, reverse: bool, seed: int) -> None:
    task = StringCopy(symbols=symbols, reverse=reverse)
    batch = draw(task, 8, length, seed, "train")
    n = (length - 1) // 2
    string = batch.inputs[:, :n]
    assert (string < symbols).all()
    assert (batch.inputs[:, n] == task.delimiter).all()
    assert (batch.inputs[:, n + 1 :] == task.blank).all()  # nothing is shown during the output
    assert torch.equal(batch.targets[batch.mask].reshape(8, n), string.flip(1) if reverse else string)
    assert torch.equal(batch.mask[0].nonzero()[:, 0], torch.arange(n + 1, 2 * n + 1))


def test_the_least_length() -> None:
    batch = draw(StringCopy(symbols=2), 4, 3, 0, "train")
    assert torch.equal(batch.targets[:, 2], batch.inputs[:, 0])
    with pytest.raises(ValueError, match="length is 2; StringCopy needs at least 3"):
        draw(StringCopy(), 4, 2, 0, "train")


def test_errors_name_setting_and_value() -> None:
    with pytest.raises(ValueError, match=r"^copy\.symbols is 1; it must be at least 2$"):
        StringCopy(symbols=1)
