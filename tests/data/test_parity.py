import pytest
import torch

from nounroll.data.parity import Parity
from nounroll.data.task import draw


def test_every_target_is_the_parity_so_far() -> None:
    batch = draw(Parity(), 20, 17, 0, "train")
    assert batch.mask.all()
    for bits, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        assert targets == [sum(bits[: t + 1]) % 2 for t in range(17)]


def test_any_length() -> None:
    assert draw(Parity(), 2, 1, 0, "train").targets.shape == (2, 1)


def test_revealed_less_often() -> None:
    whole, less = draw(Parity(), 400, 33, 0, "train"), draw(Parity(scored=0.25), 400, 33, 0, "train")
    assert torch.equal(whole.inputs, less.inputs)  # the same sequences
    assert torch.equal(whole.targets, less.targets)
    assert less.mask[:, -1].all()
    assert float(less.mask[:, :-1].double().mean()) == pytest.approx(0.25, abs=0.02)
    assert (draw(Parity(scored=0), 5, 33, 0, "train").mask.nonzero()[:, 1] == 32).all()
