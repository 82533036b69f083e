"""The pooled cell: the mean and the maximum of all that an LSTM has said, kept step by step."""

from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import SHAPE, SYMBOLS, draw_values, make_student
from nounroll.cells.pooled import PooledCell
from nounroll.models.student import Student

UNITS = (SHAPE[0] * SHAPE[1] - 1) // 4


def parts(student: Student, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """h, mean and most of memories."""
    hidden, mean, most = student.cell.observe(memory).chunk(3, dim=-1)
    return hidden, mean, most


def check_summary(student: Student) -> None:
    """The mean is that of m_∅'s own, which counts 1/w times, and of every h; the maximum is over all of them."""
    memories = student.stepped_rollout(draw_values(SYMBOLS, 3, 40))
    hidden, mean, most = parts(student, memories)
    before = 1 / memories[0, 0].flatten()[4 * UNITS]
    for t in (1, 7, 40):
        expected = (before * mean[:, 0] + hidden[:, 1 : t + 1].sum(1)) / (before + t)
        torch.testing.assert_close(mean[:, t], expected, rtol=0, atol=1e-10)
        largest = torch.cat([most[:, :1], hidden[:, 1 : t + 1]], dim=1).max(1).values
        assert torch.equal(most[:, t], largest)


def test_memory_holds_the_mean_and_the_maximum_of_every_output() -> None:
    check_summary(make_student("pooled"))


def test_control_a_weight_that_stays_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    step = PooledCell.step

    def without_count(self: Any, inputs: Tensor, memory: Tensor) -> Tensor:
        after = step(self, inputs, memory).flatten(1)
        after = torch.cat([after[:, : 4 * UNITS], memory.flatten(1)[:, 4 * UNITS :]], dim=1)
        return after.view_as(memory)

    monkeypatch.setattr(PooledCell, "step", without_count)
    with pytest.raises(AssertionError):
        check_summary(make_student("pooled"))


def test_an_early_step_moves_the_mean_as_much_as_a_late_one() -> None:
    """Gradients to the first and the last of 200 outputs are equal, whatever the LSTM forgets."""
    student = make_student("pooled")
    hiddens = torch.randn(1, 200, UNITS, dtype=torch.float64).tanh().requires_grad_()
    means, _, _ = student.cell._pooled(hiddens, student.initial_memory(1))
    (found,) = torch.autograd.grad(means[:, -1].sum(), hiddens)
    torch.testing.assert_close(found[:, 0], found[:, -1], rtol=0, atol=1e-12)


def test_a_hundred_thousand_steps_stay_finite_in_16_bits() -> None:
    student = make_student("pooled").to(torch.bfloat16)
    memory = student.initial_memory(1)
    with torch.no_grad():
        for _ in range(10):
            _, memory = student.features(torch.zeros(1, 10_000, dtype=torch.int64), memory)
    assert memory.isfinite().all()
    hidden, mean, _ = parts(student, memory)
    torch.testing.assert_close(mean, hidden, rtol=0, atol=0.05)  # the same input for ever: h stays, and so its mean
