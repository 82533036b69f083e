import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.data.modular_sum import ModularSum
from nounroll.data.parity import Parity
from nounroll.data.task import draw


@settings(max_examples=30, deadline=None)
@given(modulus=st.integers(2, 12), length=st.integers(1, 40), seed=st.integers(0, 2**31), data=st.data())
def test_one_state_is_enough(modulus: int, length: int, seed: int, data: st.DataObject) -> None:
    """The optimum is exact: a state of n values, renewed at each step, says every target."""
    classes = data.draw(st.integers(2, modulus))
    task = ModularSum(modulus=modulus, classes=classes, scored=data.draw(st.floats(0, 1)))
    batch = draw(task, 8, length, seed, "train")
    assert batch.mask[:, -1].all()
    said = {}
    for row in range(8):
        state = 0
        for x, y in zip(batch.inputs[row].tolist(), batch.targets[row].tolist(), strict=True):
            state = (state + x) % modulus
            assert said.setdefault(state, y) == y


def test_classes_are_ranges_of_nearly_equal_size() -> None:
    for modulus in range(2, 14):
        for classes in range(2, modulus + 1):
            sums = torch.arange(modulus)
            sizes = torch.bincount(sums * classes // modulus, minlength=classes)
            assert len(sizes) == classes
            assert int(sizes.max() - sizes.min()) <= 1
    whole, two = (draw(ModularSum(classes=classes), 9, 20, 0, "train") for classes in (None, 2))
    assert torch.equal(two.targets, (whole.targets >= 3).long())  # as the picture has it
    assert ModularSum(classes=2).targets.n == 2


def test_modulo_2_it_is_parity() -> None:
    one, other = draw(ModularSum(modulus=2), 9, 20, 0, "train"), draw(Parity(), 9, 20, 0, "train")
    assert torch.equal(one.inputs, other.inputs)
    assert torch.equal(one.targets, other.targets)


def test_a_sum_that_misses_a_number_says_nothing() -> None:
    batch = draw(ModularSum(), 4000, 12, 0, "train")
    without_first = batch.inputs[:, 1:].cumsum(1)[:, -1] % 5
    joint = torch.bincount(5 * without_first + batch.targets[:, -1], minlength=25)
    assert joint.min() > 100  # 160 each
    assert joint.max() < 230
