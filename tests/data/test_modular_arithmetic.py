import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.data.modular_arithmetic import ModularArithmetic
from nounroll.data.task import draw


def rules(task: ModularArithmetic, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """All (a, b) that agree with the pairs."""
    every = [(a, b) for a in range(task.coefficients) for b in range(task.coefficients)]
    return [(a, b) for a, b in every if all((a * x + b) % task.modulus == y for x, y in pairs)]


@settings(max_examples=20, deadline=None)
@given(modulus=st.integers(2, 9), length=st.integers(1, 17), seed=st.integers(0, 2**31), data=st.data())
def test_every_sequence_follows_one_rule(modulus: int, length: int, seed: int, data: st.DataObject) -> None:
    task = ModularArithmetic(modulus=modulus, coefficients=data.draw(st.integers(1, modulus)))
    batch = draw(task, 4, length, seed, "train")
    assert torch.equal(batch.mask[0].nonzero()[:, 0], torch.arange(0, length, 2))
    assert torch.equal(batch.inputs[:, 1::2], batch.targets[:, : length - 1 : 2])  # y is shown next
    optimum = task.optimum(batch.inputs)
    for row in range(4):
        x, y = batch.inputs[row, ::2].tolist(), batch.targets[row, ::2].tolist()
        assert rules(task, list(zip(x, y, strict=True)))
        for i, said in enumerate(optimum[row]):
            possible = rules(task, list(zip(x[:i], y[:i], strict=True)))
            expected = torch.zeros(modulus, dtype=torch.float64)
            for a, b in possible:
                expected[(a * x[i] + b) % modulus] += 1 / len(possible)
            torch.testing.assert_close(said, expected)


def test_the_optimum_pays_for_the_rule_once() -> None:
    """2 ln n nats and 2 (1 - 1 / n) errors a sequence, when n is prime."""
    batch = draw(ModularArithmetic(), 4000, 64, 0, "train")
    optimum, answers = ModularArithmetic().optimum(batch.inputs), batch.targets[:, ::2, None]
    right = optimum.gather(2, answers)[..., 0]
    assert float(-right[:, 0].log().mean()) == pytest.approx(math.log(7))  # nothing is known at first
    assert float(-right.log().sum(1).mean()) == pytest.approx(2 * math.log(7), rel=0.02)
    assert float((1 - right).sum(1).mean()) == pytest.approx(2 * (1 - 1 / 7), rel=0.02)
    assert float(right.mean()) == pytest.approx(0.946, abs=0.002)  # what its recipe says
    assert float(-right.log().mean()) == pytest.approx(0.122, abs=0.003)


def test_the_picture() -> None:
    x = torch.tensor([3, 1, 6, 0])
    assert ((3 * x + 5) % 7).tolist() == [0, 1, 2, 5]
