"""A teacher that sees the future is seen."""

import pytest
import torch
from torch import Tensor

from helpers import TEACHERS, make_batch, make_student, make_teacher
from nounroll.analysis.leak import leak


@pytest.mark.parametrize("kind", TEACHERS)
def test_a_teacher_knows_nothing_of_what_comes(kind: str) -> None:
    teacher = make_teacher(make_student(), **TEACHERS[kind])
    assert leak(teacher.memories, make_batch(6, 12)) < 1e-9


@pytest.mark.parametrize("steps", [1, 3])
def test_control_a_teacher_that_sees_some_steps_ahead_is_caught(steps: int) -> None:
    teacher = make_teacher(make_student())

    def peeking(inputs: Tensor) -> Tensor:
        memories = teacher.memories(inputs)
        return torch.cat([memories[:, steps:], memories[:, -1:].expand(-1, steps, -1, -1)], dim=1)

    assert leak(peeking, make_batch(6, 12)) > 1e-2
    assert leak(peeking, make_batch(1, 12)) > 1e-2  # a single sequence has no next one
