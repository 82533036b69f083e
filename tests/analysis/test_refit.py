"""A refitted readout finds what a teacher's memories hold."""

import copy

import pytest
import torch

from helpers import make_student, make_teacher, same_state, state
from nounroll.analysis.refit import refit
from nounroll.rollout.evaluate import evaluate_teacher, validation_batches
from own_parts import Echo


def test_it_reads_what_is_there() -> None:
    """Echo: an untrained teacher's memory still shows the input before, and a lost readout learns to see it."""
    task = Echo()
    student = make_student(inputs=task.inputs, targets=task.targets, dtype=torch.float32)
    teacher = make_teacher(student, dtype=torch.float32)
    before = state(student, teacher)
    batches = validation_batches(task, 32, 8, 0)
    lost = evaluate_teacher(student, batches, teacher.memories)["loss"]
    found = evaluate_teacher(refit(student, teacher, task, 8, 0), batches, teacher.memories)["loss"]
    assert found < 0.8 * lost
    assert same_state(state(student, teacher), before)


def test_control_a_teacher_that_holds_nothing_stays_at_chance() -> None:
    task = Echo()
    student = make_student(inputs=task.inputs, targets=task.targets, dtype=torch.float32)
    teacher = copy.deepcopy(make_teacher(student, dtype=torch.float32))
    with torch.no_grad():
        teacher.head.weight.zero_()
    reader = refit(student, teacher, task, 8, 0)
    found = evaluate_teacher(reader, validation_batches(task, 32, 8, 0), teacher.memories)
    assert found["accuracy"] == pytest.approx(0.3, abs=0.1)  # 0 comes first, else all five are alike
