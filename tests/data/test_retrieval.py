import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.core.batch import Batch
from nounroll.data.retrieval import Retrieval
from nounroll.data.task import draw


def solve(task: Retrieval, batch: Batch) -> torch.Tensor:
    """What a perfect memory answers: the symbol after the only marker."""
    marked = (batch.inputs == task.marker).int().argmax(1)
    return batch.inputs[torch.arange(batch.batch_size), marked + 1]


@settings(max_examples=30, deadline=None)
@given(values=st.integers(2, 20), length=st.integers(4, 70), seed=st.integers(0, 2**31))
def test_the_optimum_is_exact(values: int, length: int, seed: int) -> None:
    task = Retrieval(values=values)
    batch = draw(task, 16, length, seed, "train")
    assert torch.equal(batch.targets[:, -1], solve(task, batch))
    assert torch.equal(batch.mask.nonzero()[:, 1], torch.full((16,), length - 1))
    assert (batch.inputs[:, -1] == task.query).all()
    assert ((batch.inputs == task.query).sum(1) == 1).all()
    marker = (batch.inputs == task.marker).nonzero()
    assert torch.equal(marker[:, 0], torch.arange(16))
    assert (marker[:, 1] < length / 4).all()


def test_the_noise_says_nothing() -> None:
    task = Retrieval(values=4)
    batch = draw(task, 4000, 16, 0, "train")
    answers = batch.targets[:, -1]
    for position in range(5, 15):  # beyond the marker and its value
        agreement = float((batch.inputs[:, position] == answers).double().mean())
        assert agreement == pytest.approx(1 / 4, abs=0.04)
    counts = torch.bincount(answers, minlength=4)
    assert counts.min() > 850  # every value is as likely: chance is 1 / values
    markers = (batch.inputs == task.marker).int().argmax(1)
    assert torch.bincount(markers).min() > 850  # and every place of the first quarter


def test_errors_name_setting_and_value() -> None:
    with pytest.raises(ValueError, match=r"^retrieval\.values is 1; it must be at least 2$"):
        Retrieval(values=1)
    with pytest.raises(ValueError, match="length is 3; Retrieval needs at least 4"):
        draw(Retrieval(), 2, 3, 0, "train")
