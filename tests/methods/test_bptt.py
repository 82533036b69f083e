"""BPTT against a naive twin, and how far its gradients go."""

import pytest
import torch
from torch import Tensor

from helpers import CELL_KINDS, SYMBOLS, assert_same_gradients, make_batch, make_bptt, make_student
from nounroll.core.batch import Batch, Real, Space
from nounroll.core.seeding import generator
from nounroll.models.student import Student

B, T = 3, 7


def twin(student: Student, batch: Batch) -> Tensor:
    """One row, one step at a time."""
    losses = []
    for b in range(B):
        memory = student.initial_memory(1)
        for t in range(T):
            memory = student.step(batch.inputs[b, t][None], memory)
            if batch.mask[b, t]:
                outputs = student.readout(memory)
                losses.append(-student.targets.log_prob(outputs, batch.targets[b, t][None])[0])
    return torch.stack(losses).mean()


def loss_of(student: Student, batch: Batch) -> Tensor:
    losses, state = make_bptt(student)(batch, {}, generator(0, "loss"), 0.5)
    assert state == {}
    assert losses.keys() == {"loss", "readout"}
    return losses["loss"]


@pytest.mark.parametrize(
    ("kind", "sparse", "space"),
    [*((kind, True, SYMBOLS) for kind in CELL_KINDS), ("mlp", False, SYMBOLS), ("gru", True, Real(2))],
    ids=str,
)
def test_the_loss_equals_its_naive_twin(kind: str, sparse: bool, space: Space) -> None:
    student = make_student(kind, inputs=space, targets=space)
    batch = make_batch(B, T, space, space, sparse=sparse)
    ours, expected = loss_of(student, batch), twin(student, batch)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-7, check_dtype=False)
    assert_same_gradients(ours, expected, student)


def test_it_draws_nothing() -> None:
    student, draws = make_student(), generator(0, "loss")
    make_bptt(student)(make_batch(B, T), {}, draws, 0.5)
    assert torch.equal(draws.get_state(), generator(0, "loss").get_state())


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_gradients_go_back_to_the_start(kind: str) -> None:
    """The loss at y_s alone moves x_t just when t <= s, and m_∅ always."""
    student = make_student(kind, inputs=Real(2))
    batch = make_batch(B, T, inputs=Real(2))
    for s in range(T):
        inputs = batch.inputs.clone().requires_grad_()
        only = torch.zeros(B, T, dtype=torch.bool)
        only[:, s] = True
        loss = loss_of(student, Batch(inputs, batch.targets, only))
        by_input, by_empty = torch.autograd.grad(loss, [inputs, student.empty_memory])
        assert (by_input.abs().amax((0, 2)) > 0).tolist() == [t <= s for t in range(T)]
        assert by_empty.any()
