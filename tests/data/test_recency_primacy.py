import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.data.recency_primacy import RecencyPrimacy
from nounroll.data.task import draw


@settings(max_examples=30, deadline=None)
@given(
    distance=st.integers(0, 12),
    more=st.integers(1, 30),
    primacy=st.booleans(),
    scored=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
def test_the_optimum_is_exact(distance: int, more: int, primacy: bool, scored: float, seed: int) -> None:
    task = RecencyPrimacy(symbols=5, distance=distance, primacy=primacy, scored=scored)
    batch = draw(task, 8, distance + more, seed, "train")
    assert batch.mask[:, -1].all()
    for row, t in batch.mask.nonzero().tolist():
        assert t >= distance
        assert batch.targets[row, t] == batch.inputs[row, distance if primacy else t - distance]


def test_all_that_can_be_asked_is() -> None:
    batch = draw(RecencyPrimacy(distance=3), 5, 10, 0, "train")
    assert torch.equal(batch.mask, torch.arange(10).expand(5, -1) >= 3)
