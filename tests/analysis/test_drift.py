"""The drift curve and its equilibrium, on memories made by hand."""

import pytest
import torch
from torch import Tensor

from nounroll.analysis.drift import drift
from nounroll.core.seeding import generator

N, T, SHAPE = 32, 40, (2, 8)


def labels() -> Tensor:
    return torch.randn(N, T + 1, *SHAPE, generator=generator(0, "test"))


def off_by(curve: Tensor) -> Tensor:
    """Memories whose mean square distance to ``labels`` is ``curve`` at each t."""
    return labels() + torch.cat([torch.zeros(1), curve]).sqrt()[:, None, None]


def test_a_perfect_student_does_not_drift() -> None:
    found = drift(labels(), labels())
    assert found.curve == [0.0] * T
    assert (found.level, found.reached, found.levels_off) == (0.0, 0, True)


def test_control_one_memory_that_is_off_is_seen() -> None:
    own = labels()
    own[:, 8] += 1.0  # the memory after x_7
    found = drift(own, labels())
    assert found.curve[7] == pytest.approx(1.0, rel=0.1)
    assert sum(found.curve) == pytest.approx(found.curve[7])


def test_drift_is_relative_to_the_variance_of_the_teachers_memories() -> None:
    mean = labels()[:, 1:].mean((0, 1)).expand(N, T + 1, *SHAPE)
    assert drift(mean, labels()).level == pytest.approx(1.0, rel=0.1)  # as METHOD has it: 1 - MSE / Var
    assert drift(labels().roll(1, 0), labels()).level == pytest.approx(2.0, rel=0.1)
    twice = drift(2 * off_by(torch.full((T,), 0.3)), 2 * labels())
    assert twice.curve == pytest.approx(drift(off_by(torch.full((T,), 0.3)), labels()).curve, rel=1e-4)
    assert twice.variance == pytest.approx(4.0, rel=0.05)


def test_a_curve_that_rises_and_rests_has_an_equilibrium() -> None:
    t = torch.arange(T)
    found = drift(off_by(0.5 * (1 - torch.exp(-t / 4))), labels())
    assert found.level == pytest.approx(0.5, rel=0.05)
    assert 0.9 <= found.curve[found.reached] / found.level <= 1.1
    assert found.curve[found.reached - 1] < 0.9 * found.level
    assert found.levels_off


def test_a_curve_that_goes_on_has_none() -> None:
    assert not drift(off_by(torch.linspace(0, 4, T)), labels()).levels_off


def test_padding_does_not_count() -> None:
    there = torch.arange(T) < torch.arange(N)[:, None] + T - N + 1  # rows of 9 to 40 steps
    own, wild = off_by(torch.full((T,), 0.5)), labels()
    own[:, 1:][~there], wild[:, 1:][~there] = 100.0, -100.0
    found = drift(own, wild, there)
    assert found.curve == pytest.approx([0.5 / found.variance] * T, rel=1e-4)
    assert found.variance == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_short_sequences(length: int) -> None:
    found = drift(labels()[:, : length + 1] + 1.0, labels()[:, : length + 1])
    assert len(found.curve) == length
    assert 0 <= found.reached < length


def test_memories_that_never_differ_give_the_plain_distance() -> None:
    same = torch.ones(N, T + 1, *SHAPE)
    found = drift(same + 1.0, same)
    assert found.variance == 0
    assert found.level == pytest.approx(1.0)
