"""|dL/dm_t| is flat in t under SMT and vanishes under BPTT (arXiv 2606.06479, Sec. 5): no gradient crosses two steps.

One target, at the end of 64 steps, and a simple recurrent cell with small recurrent weights.
"""

import pytest
import torch
from torch import Tensor

from helpers import SYMBOLS, draw_values, fix_labels, make_bptt, make_smt, make_student, make_teacher
from nounroll.core.batch import Batch
from nounroll.core.seeding import generator
from nounroll.models.student import Student

T = 64


def forgetful_student() -> Student:
    student = make_student("elman")
    with torch.no_grad():
        student.cell.core.weight_hh_l0.mul_(0.5)
    return student


def last_target() -> Batch:
    inputs = draw_values(SYMBOLS, 16, T)
    mask = torch.zeros(16, T, dtype=torch.bool)
    mask[:, -1] = True
    return Batch(inputs, inputs.roll(-1, 1), mask)


def test_it_is_flat_under_smt() -> None:
    student = forgetful_student()
    # No uniformity, which is of memories drawn at random: some t would have one more gradient than others.
    method = make_smt(student, make_teacher(student), step_readout=0.0, decoding=0.0, uniformity=0.0)
    batch = last_target()
    labels = method.teacher.memories(batch.inputs)
    fix_labels(method.teacher, labels)
    loss = method(batch, {}, generator(0, "loss"), 0.5)[0]["loss"]
    sizes = torch.stack([g.norm() for g in torch.autograd.grad(loss, labels)[0].unbind(1)])
    sizes = sizes[1:-1]  # m_∅ and the last memory end a transition or start one, not both
    assert sizes.max() < 4 * sizes.min()
    early, late = sizes[:16].mean(), sizes[-16:].mean()
    assert 0.5 < early / late < 2


def test_it_vanishes_under_bptt(monkeypatch: pytest.MonkeyPatch) -> None:
    student = forgetful_student()
    memories: list[Tensor] = []
    step = student.cell.step

    def spy(inputs: Tensor, memory: Tensor) -> Tensor:
        memories.append(step(inputs, memory))
        return memories[-1]

    monkeypatch.setattr(student.cell, "step", spy)
    monkeypatch.setattr(student.cell, "unroll", None)  # step by step
    loss = make_bptt(student)(last_target(), {}, generator(0, "loss"), 0.5)[0]["loss"]
    sizes = torch.stack([g.norm() for g in torch.autograd.grad(loss, memories)])
    assert len(sizes) == T
    assert sizes[-1] > 1e-3  # the gradient is there, at the end
    assert sizes[0] < 1e-9 * sizes[-1]
    assert (sizes[:-1] < sizes[1:]).float().mean() > 0.95  # and gets lost on the way back, step by step
