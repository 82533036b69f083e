"""Rows of a batch do not know of each other: permuting them permutes the result."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from helpers import CELL_KINDS, SYMBOLS, TEACHERS, draw_values, make_student, make_teacher
from nounroll.core.batch import Real, Space

ORDER = torch.tensor([3, 0, 4, 2, 1])


@torch.no_grad()
def assert_permutes(values: Callable[[Tensor], Tensor], inputs: Tensor) -> None:
    torch.testing.assert_close(values(inputs[ORDER]), values(inputs)[ORDER], rtol=0, atol=1e-12)
    torch.testing.assert_close(values(inputs[2:3]), values(inputs)[2:3], rtol=0, atol=1e-12)  # and a row alone


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_students(kind: str, space: Space) -> None:
    student, inputs = make_student(kind, inputs=space), draw_values(space, 5, 7)
    assert_permutes(student.rollout, inputs)
    assert_permutes(student.stepped_rollout, inputs)
    assert_permutes(lambda x: student.readout(student.rollout(x)), inputs)


@pytest.mark.parametrize("kind", TEACHERS)
def test_teachers(kind: str) -> None:
    teacher = make_teacher(make_student(), **TEACHERS[kind])
    assert_permutes(teacher.memories, draw_values(SYMBOLS, 5, 7))
    assert teacher.decoder is not None
    memories, future = torch.randn(5, 2, 8, dtype=torch.float64), draw_values(SYMBOLS, 5, 3)
    whole = teacher.decoder(memories, future)[ORDER]
    torch.testing.assert_close(teacher.decoder(memories[ORDER], future[ORDER]), whole, rtol=0, atol=1e-12)


def test_control_rows_that_mix_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    student = make_student()
    step = student.cell.step
    monkeypatch.setattr(student.cell, "step", lambda x, m: step(x, m - m.mean(0)))
    with pytest.raises(AssertionError):
        assert_permutes(student.rollout, draw_values(SYMBOLS, 5, 7))
