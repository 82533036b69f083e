"""|dL/dm_t| of a linear cell, whose powers are known, and of cells as they come."""

import pytest
import torch
from torch import Tensor, nn

from helpers import CELL_KINDS, SYMBOLS, draw_values, make_student, make_teacher
from nounroll.analysis.gradients import bptt_gradients, smt_gradients
from nounroll.core.batch import Batch
from nounroll.core.seeding import generator
from nounroll.models.student import Student

T = 24


class Linear(nn.Module):
    """m_t = factor * m_{t-1} + E[x_t]: the gradient shrinks by ``factor`` a step, whatever the memory."""

    memory_shape = (2, 8)

    def __init__(self, factor: float) -> None:
        super().__init__()
        weights = torch.randn(SYMBOLS.n, 16, generator=generator(0, "test"))
        self.factor, self.embed = factor, nn.Embedding.from_pretrained(weights)

    def constrain(self, raw: Tensor) -> Tensor:
        return raw

    def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
        return self.factor * memory + self.embed(inputs).view_as(memory)


def batch(last: int = T - 1) -> Batch:
    mask = torch.zeros(6, T, dtype=torch.bool)
    mask[:, last] = True
    x = draw_values(SYMBOLS, 6, T)
    return Batch(x, x.roll(1, 1), mask)


def student(factor: float) -> Student:
    return make_student(Linear(factor), dtype=torch.float32)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.25])
def test_bptt_multiplies_the_cells_factor_at_each_step(factor: float) -> None:
    found = bptt_gradients(student(factor), batch())
    assert len(found.norms) == T  # m_∅, m_0, .. m_{T-2}
    assert found.ratio == pytest.approx(max(factor, 1 / factor) ** (T - 1), rel=1e-4)
    steps = [later / earlier for earlier, later in zip(found.norms, found.norms[1:], strict=False)]
    assert steps == pytest.approx([1 / factor] * (T - 1), rel=1e-4)


def test_smt_has_the_factor_once() -> None:
    """The labels are off by 1 in every coordinate: e = 1, so its gradient at m_t is factor * 2 / (K d) each."""
    cell = student(0.5)
    memories = cell.stepped_rollout(batch().inputs).detach()
    offset = torch.arange(T + 1)[:, None, None].float()  # m_t is off by t + 1, its prediction by half of t
    found = smt_gradients(cell, memories - offset, batch())
    residual = [t + 1 - 0.5 * t for t in range(T)]
    assert found.norms == pytest.approx([0.5 * 2 * r / 16 * 16**0.5 for r in residual], rel=1e-4)


def test_only_what_leads_to_the_last_scored_step_counts() -> None:
    assert len(bptt_gradients(student(0.7), batch(last=9)).norms) == 10
    other = batch(last=9)
    other.inputs[:, 10:] = 0
    assert bptt_gradients(student(0.7), other) == bptt_gradients(student(0.7), batch(last=9))


def test_what_float32_cannot_hold_is_infinite() -> None:
    found = bptt_gradients(student(1e-3), batch())
    assert found.norms[0] == 0
    assert found.ratio == float("inf")


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_an_untrained_student(kind: str) -> None:
    """Of every cell: SMT is flat within 10 whatever T; the weights are left as they were, without gradients."""
    cell = make_student(kind, dtype=torch.float32)
    teacher = make_teacher(cell, dtype=torch.float32)
    with torch.no_grad():
        labels = teacher.memories(batch().inputs)
    assert smt_gradients(cell, labels, batch()).ratio < 10
    assert bptt_gradients(cell, batch()).ratio > 1
    assert all(p.grad is None for p in [*cell.parameters(), *teacher.parameters()])


def test_a_fused_cell_is_stepped() -> None:
    cell = make_student("gru", dtype=torch.float32)
    (by_hand,) = torch.autograd.grad(_last_loss(cell), cell.empty_memory)
    found = bptt_gradients(cell, batch().rows(0, 1))
    assert found.norms[0] == pytest.approx(float(by_hand.norm()), rel=1e-4)


def _last_loss(cell: Student) -> Tensor:
    one = batch().rows(0, 1)
    outputs = cell.readout(cell.rollout(one.inputs)[:, -1])
    return nn.functional.cross_entropy(outputs, one.targets[:, -1])
