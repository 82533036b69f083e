"""BPTT against a naive twin, whole and truncated, and where its gradients end."""

import pytest
import torch
from torch import Tensor

from helpers import CELL_KINDS, SYMBOLS, assert_same_gradients, gradients, make_batch, make_bptt, make_student
from nounroll.batch import Batch, Real, Space
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.seeding import generator
from nounroll.student import Student

B, T = 3, 7


def twin(student: Student, batch: Batch, truncation: int) -> Tensor:
    """One row, one step at a time; the memory is detached every ``truncation`` steps."""
    losses = []
    for b in range(B):
        memory = student.initial_memory(1)
        for t in range(T):
            if t and t % truncation == 0:
                memory = memory.detach()
            memory = student.step(batch.inputs[b, t][None], memory)
            if batch.mask[b, t]:
                outputs = student.readout(memory)
                losses.append(negative_log_likelihood(student.targets, outputs, batch.targets[b, t][None])[0])
    return torch.stack(losses).mean()


def loss_of(student: Student, batch: Batch, truncation: int | None) -> Tensor:
    return make_bptt(student, truncation)(batch, generator(0, "loss"), 0.5)["loss"]


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("truncation", [None, 1, 2, 3, 7, 100])
def test_the_loss_equals_its_naive_twin(truncation: int | None, space: Space) -> None:
    student, batch = make_student(inputs=space, targets=space), make_batch(B, T, space, space, sparse=True)
    ours, expected = loss_of(student, batch, truncation), twin(student, batch, truncation or T)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-7, check_dtype=False)
    assert_same_gradients(ours, expected, student)


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_a_long_truncation_is_none(kind: str) -> None:
    student, batch = make_student(kind), make_batch(B, T)
    whole = gradients(loss_of(student, batch, None), student)
    for truncation in (T, T + 1):
        cut = gradients(loss_of(student, batch, truncation), student)
        assert all(torch.equal(cut[name], whole[name]) for name in whole)
    short = gradients(loss_of(student, batch, 2), student)
    assert any(not torch.allclose(short[name], whole[name]) for name in whole if "cell" in name)


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_the_loss_itself_does_not_depend_on_the_truncation(kind: str) -> None:
    student, batch = make_student(kind), make_batch(B, T)
    for truncation in (1, 3):
        torch.testing.assert_close(loss_of(student, batch, truncation), loss_of(student, batch, None))


@pytest.mark.parametrize("truncation", [None, 1, 3])
def test_how_far_gradients_go_back(truncation: int | None) -> None:
    """The loss at y_s alone moves x_t just when both are in one piece, and m_∅ when s is in the first."""
    student, span = make_student("gru", inputs=Real(2)), truncation or T
    batch = make_batch(B, T, inputs=Real(2))
    for s in range(T):
        inputs = batch.inputs.clone().requires_grad_()
        only = torch.zeros(B, T, dtype=torch.bool)
        only[:, s] = True
        loss = loss_of(student, Batch(inputs, batch.targets, only), truncation)
        by_input, by_empty = torch.autograd.grad(loss, [inputs, student.empty_memory], allow_unused=True)
        moved = by_input.abs().amax((0, 2)) > 0
        assert moved.tolist() == [t <= s and t // span == s // span for t in range(T)]
        assert bool(by_empty is not None and by_empty.any()) == (s < span)
