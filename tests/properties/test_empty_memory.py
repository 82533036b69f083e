"""m_∅ is one constant: the same in every batch, at every length, whatever the inputs; the student keeps it."""

import pytest
import torch
from torch import Tensor

from helpers import (
    CELL_KINDS,
    SYMBOLS,
    TEACHERS,
    draw_values,
    make_batch,
    make_dmt,
    make_smt,
    make_student,
    make_teacher,
    state,
)
from nounroll.core.batch import Real, Space
from nounroll.core.seeding import generator


def assert_all_equal(memories: Tensor, empty: Tensor) -> None:
    torch.testing.assert_close(memories, empty.expand_as(memories), rtol=0, atol=1e-12)


@pytest.mark.parametrize("space", [SYMBOLS, Real(3)], ids=str)
@pytest.mark.parametrize("kind", TEACHERS)
@torch.no_grad()
def test_a_teachers_empty_memory_is_one_constant(kind: str, space: Space) -> None:
    teacher = make_teacher(make_student(inputs=space), **TEACHERS[kind])
    empty = teacher.empty_memory(draw_values(space, 1, 1))
    for length in (1, 2, 3, 4, 7, 20):
        for size in (1, 5):
            inputs = draw_values(space, size, length, seed=length)
            assert_all_equal(teacher.memories(inputs)[:, 0], empty)
            assert_all_equal(teacher.memories(inputs, torch.tensor([[1, 0]]).expand(size, -1))[:, 1], empty)
            assert_all_equal(teacher.empty_memory(inputs), empty)


@torch.no_grad()
def test_control_a_start_that_reads_an_input_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = make_teacher(make_student())
    memories = teacher.memories
    monkeypatch.setattr(teacher, "memories", lambda x, places=None: memories(x, places).roll(-1, 1))
    empty = teacher.memories(torch.zeros(1, 2, dtype=torch.int64))[0, 0]
    with pytest.raises(AssertionError):
        assert_all_equal(teacher.memories(torch.ones(3, 4, dtype=torch.int64))[:, 0], empty)


@pytest.mark.parametrize("space", [SYMBOLS, Real(3)], ids=str)
@pytest.mark.parametrize("teacher", ["causal", "window"])
@pytest.mark.parametrize("cell", CELL_KINDS)
def test_smt_hands_it_to_the_student(cell: str, teacher: str, space: Space) -> None:
    student = make_student(cell, inputs=space, dtype=torch.float32)
    labels = make_teacher(student, kind=teacher, dtype=torch.float32)
    method = make_smt(student, labels)
    before = student.empty_memory.clone()
    method.finish()  # it needs no step before it: a resumed run may have none left
    with torch.no_grad():
        assert torch.equal(student.empty_memory, labels.empty_memory(space.zeros(1, 1)))
    assert not torch.equal(student.empty_memory, before)


def test_it_is_where_every_rollout_starts_and_dmt_does_not_move_it() -> None:
    student = make_student()
    method = make_dmt(student, make_teacher(student))
    assert_all_equal(student.rollout(make_batch().inputs)[:, 0], student.empty_memory)
    before = state(student)
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.1)
    method(make_batch(), {}, generator(0, "loss"), 0.0)[0]["loss"].backward()
    optimizer.step()
    assert torch.equal(student.empty_memory, before["0.empty_memory"])
    assert not torch.equal(student.head.out.weight, before["0.head.out.weight"])
