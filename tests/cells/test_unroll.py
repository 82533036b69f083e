"""Cells: a fused unroll equals its steps with all gradients, and torch's own modules; memories stay in their set."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers import CELL_KINDS, SHAPE, SYMBOLS, cell_settings, draw_values, gradients, make_student
from nounroll.cells import build_cell, complete, mingru
from nounroll.cells.base import CELLS, constrain, observe
from nounroll.core.batch import Real, Space
from nounroll.models.student import Student

FUSED = {"gru": nn.GRU, "elman": nn.RNN, "lstm": nn.LSTM}
UNROLLED = (*FUSED, "mingru", "pooled")
SIZE = SHAPE[0] * SHAPE[1]


def start(student: Student, rows: int) -> Tensor:
    """Memories that the cell can hold, none of them m_∅."""
    raw = torch.randn(rows, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return constrain(student.cell, raw).requires_grad_()


# --- the fused kernel against its naive twin ----------------------------------------------------------


def test_which_cells_are_fused() -> None:
    assert {kind for kind in CELL_KINDS if hasattr(make_student(kind).cell, "unroll")} == set(UNROLLED)


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("length", [1, 2, 63, 75])
@pytest.mark.parametrize("kind", UNROLLED)
def test_unroll_equals_steps_with_gradients(kind: str, length: int, space: Space) -> None:
    student, inputs = make_student(kind, inputs=space), draw_values(space, 3, length)
    weight = torch.randn(3, length + 1, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for memory in (None, start(student, 3)):
        fused, stepped = student.rollout(inputs, memory), student.stepped_rollout(inputs, memory)
        torch.testing.assert_close(fused, stepped, rtol=0, atol=1e-10)
        one, other = ((weight * memories.sin()).sum() for memories in (fused, stepped))
        expected = gradients(other, student)
        for name, value in gradients(one, student).items():
            torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-10, msg=name)
        if memory is not None:
            by_memory = [torch.autograd.grad(loss, memory, retain_graph=True)[0] for loss in (one, other)]
            torch.testing.assert_close(*by_memory, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_outputs_equal_those_of_steps_with_gradients(kind: str) -> None:
    """What is read out on the way, and the memory at the end, which goes into the sum by itself."""
    student, inputs = make_student(kind), draw_values(SYMBOLS, 3, 21)
    for memory in (None, start(student, 3)):
        outputs, last = student.outputs(inputs, memory)
        memories = student.stepped_rollout(inputs, memory)
        features, same_last = student.features(inputs, memory)
        torch.testing.assert_close(features, observe(student.cell, memories[:, 1:]), rtol=0, atol=1e-10)
        assert torch.equal(student.head(features), outputs)
        assert torch.equal(same_last, last)
        torch.testing.assert_close(outputs, student.readout(memories[:, 1:]), rtol=0, atol=1e-10)
        torch.testing.assert_close(last, memories[:, -1], rtol=0, atol=1e-10)
        one = outputs.sin().sum() + last.cos().sum()
        other = student.readout(memories[:, 1:]).sin().sum() + memories[:, -1].cos().sum()
        expected = gradients(other, student)
        for name, value in gradients(one, student).items():
            torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-10, msg=name)
        if memory is not None:
            by_memory = [torch.autograd.grad(loss, memory, retain_graph=True)[0] for loss in (one, other)]
            torch.testing.assert_close(*by_memory, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_a_rollout_may_be_cut_anywhere(kind: str) -> None:
    student, inputs = make_student(kind), draw_values(SYMBOLS, 3, 9)
    whole = student.rollout(inputs)
    for cut in (1, 4, 8):
        first = student.rollout(inputs[:, :cut])
        second = student.rollout(inputs[:, cut:], first[:, -1])
        torch.testing.assert_close(torch.cat([first, second[:, 1:]], dim=1), whole, rtol=0, atol=1e-12)


# --- torch's own modules ------------------------------------------------------------------------------


def torch_module(kind: str, seed: int) -> Any:
    torch.manual_seed(seed)
    units = SIZE // 2 if kind == "lstm" else SIZE
    return FUSED[kind](16, units, batch_first=True).double()


@pytest.mark.parametrize("kind", FUSED)
def test_weights_load_from_torch_and_back(kind: str) -> None:
    module, student = torch_module(kind, 5), make_student(kind)
    student.cell.core.load_state_dict(module.state_dict())
    inputs = draw_values(SYMBOLS, 3, 11)
    zeros = torch.zeros(3, *SHAPE, dtype=torch.float64)
    expected, last = module(student.cell.embed(inputs))
    for rollout in (student.rollout, student.stepped_rollout):
        memories = rollout(inputs, zeros)
        torch.testing.assert_close(observe(student.cell, memories[:, 1:]), expected, rtol=0, atol=1e-12)
        final = torch.cat(last, dim=-1)[0] if kind == "lstm" else last[0]
        torch.testing.assert_close(memories[:, -1].flatten(1), final, rtol=0, atol=1e-12)

    back = torch_module(kind, 6)
    assert not torch.allclose(back(student.cell.embed(inputs))[0], expected)
    back.load_state_dict(student.cell.core.state_dict())
    assert torch.equal(back(student.cell.embed(inputs))[0], expected)


# --- memories ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_a_step_keeps_memories_that_the_cell_can_hold(kind: str) -> None:
    student = make_student(kind)
    memories = student.rollout(draw_values(SYMBOLS, 3, 9), start(student, 3).detach())
    if kind == "mingru":
        assert (memories > 0).all()
    elif kind in ("mlp", "transformer", "tape"):
        assert torch.allclose(memories.square().mean(-1), torch.ones(1, dtype=torch.float64), atol=1e-4)
    else:
        assert (observe(student.cell, memories).abs() < 1).all()


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_m_empty_and_labels_are_memories_that_the_cell_can_hold(kind: str) -> None:
    student = make_student(kind)
    assert student.empty_memory.shape == SHAPE
    wild = 50 * torch.randn(6, 5, *SHAPE, dtype=torch.float64)
    held = constrain(student.cell, wild)
    assert held.shape == wild.shape
    if kind == "mingru":
        assert (held > 0).all()
    else:
        limit = 1 if kind in ("gru", "elman") else 3 if kind in ("lstm", "pooled") else SHAPE[1] ** 0.5
        assert held.abs().max() <= limit + 1e-6
    flat = constrain(student.cell, wild.flatten(0, 1)).view_as(wild)
    assert torch.allclose(held, flat)


def test_the_readout_sees_the_hidden_state_of_an_lstm_alone() -> None:
    student = make_student("lstm")
    memory = start(student, 2).detach()
    carry = memory.flatten(1).clone()
    carry[:, SIZE // 2 :] += 1
    assert torch.equal(student.readout(memory), student.readout(carry.view_as(memory)))
    hidden = memory.flatten(1).clone()
    hidden[:, 0] += 0.1
    assert not torch.equal(student.readout(memory), student.readout(hidden.view_as(memory)))


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_layers(kind: str) -> None:
    cell: Any = build_cell(replace(cell_settings(kind), layers=3), SYMBOLS)
    assert len(cell.hidden if kind == "mlp" else cell.blocks) == (2 if kind == "mlp" else 3)
    memory = constrain(cell, torch.randn(2, *SHAPE))
    assert cell.step(draw_values(SYMBOLS, 2), memory).shape == memory.shape


CHOSEN = {"mlp": (16, 2), "transformer": (8, 2), "gru": (16, 1), "lstm": (8, 1)}
CHOSEN |= {"elman": (16, 1), "tape": (32, 1), "mingru": (16, 2), "pooled": (3, 1)}


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_at_zero_the_cell_chooses_its_sizes(kind: str) -> None:
    """And they are those of its class, which a user may build by hand."""
    left_open = replace(cell_settings(kind), width=0, layers=0)
    settings = complete(left_open)
    assert (settings.width, settings.layers) == CHOSEN[kind]
    assert complete(settings) == settings
    by_hand = CELLS.load(kind)(SYMBOLS, SHAPE)
    for one in (left_open, settings):
        sizes = {name: weight.shape for name, weight in build_cell(one, SYMBOLS).state_dict().items()}
        assert sizes == {name: weight.shape for name, weight in by_hand.state_dict().items()}


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_a_width_that_is_given_is_kept(kind: str) -> None:
    given = replace(cell_settings(kind), width=24, layers=0)
    assert complete(given) == replace(given, layers=CHOSEN[kind][1])
    assert any(24 in weight.shape for weight in build_cell(given, SYMBOLS).state_dict().values())


# --- the parallel scan ------------------------------------------------------------------------------------


def gates_and_values(gate_size: float, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Gates and values in single precision, and a memory of which half is negative."""
    draws = torch.Generator().manual_seed(0)
    gate, value = (size * torch.randn(2, length, 16, generator=draws) for size in (gate_size, 3.0))
    return gate, value, torch.randn(2, 16, generator=draws)


@pytest.mark.parametrize("gate_size", [0.1, 3.0, 30.0])
def test_a_scan_keeps_its_precision_over_long_times_and_hard_gates(gate_size: float) -> None:
    """In single precision, against steps in double precision, also where gates are shut or open."""
    gate, value, memory = gates_and_values(gate_size, 1000)
    exact = [memory.double()]
    for t in range(1000):
        exact.append(mingru.one_step(gate[:, t].double(), value[:, t].double(), exact[-1]))
    scanned = mingru.scan(gate, value, memory).double()
    torch.testing.assert_close(scanned, torch.stack(exact[1:], dim=1), rtol=1e-5, atol=1e-6)


def test_control_a_scan_that_starts_from_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = mingru.scan
    monkeypatch.setattr(mingru, "scan", lambda gate, value, memory: scan(gate, value, 0 * memory))
    with pytest.raises(AssertionError):
        test_a_scan_keeps_its_precision_over_long_times_and_hard_gates(0.1)


def test_a_scan_is_the_one_of_the_paper() -> None:
    """Feng et al. 2024, in log space: cumulative sums of logarithms, from a positive memory."""
    gate, value, memory = (part.double() for part in gates_and_values(2.0, 75))
    memory = mingru.positive(memory)
    kept = torch.nn.functional.pad(-torch.nn.functional.softplus(gate), (0, 0, 1, 0)).cumsum(1)
    new = -torch.nn.functional.softplus(-gate) + mingru.positive(value).log()
    terms = torch.cat([memory.log()[:, None], new], dim=1)
    paper = (kept + torch.logcumsumexp(terms - kept, dim=1)).exp()[:, 1:]
    torch.testing.assert_close(mingru.scan(gate, value, memory), paper, rtol=1e-10, atol=1e-10)


def test_a_layer_sees_what_the_one_before_remembers() -> None:
    """Without that, memory would be a weighted sum of inputs: the order of two early ones could not matter later."""
    cell: Any = build_cell(replace(cell_settings("mingru"), layers=2), SYMBOLS).double()
    memory, inputs = torch.ones(1, *SHAPE, dtype=torch.float64), torch.tensor([[0, 3, 1, 1]])
    first = cell.unroll(inputs, memory)[:, -1].flatten()
    other = memory.flatten().clone()
    other[: SIZE // 2] += 1  # the memory of the first layer alone
    second = cell.unroll(inputs, other.view_as(memory))[:, -1].flatten()
    assert (first != second).all()
