from nounroll.data.parity import Parity
from nounroll.data.task import draw


def test_every_target_is_the_parity_so_far() -> None:
    batch = draw(Parity(), 20, 17, 0, "train")
    assert batch.mask.all()
    for bits, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        assert targets == [sum(bits[: t + 1]) % 2 for t in range(17)]


def test_any_length() -> None:
    assert draw(Parity(), 2, 1, 0, "train").targets.shape == (2, 1)
