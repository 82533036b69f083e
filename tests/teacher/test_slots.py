"""The teacher of slots: what it writes, that one step follows from the one before, and its shared decoder."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import SYMBOLS, draw_values, gradients, make_dmt, make_smt, make_student, make_teacher
from nounroll.cells.mlp import MLPCell
from nounroll.core.batch import Batch
from nounroll.core.seeding import generator
from nounroll.nn.frozen import frozen
from nounroll.nn.norm import rms_normalise
from nounroll.teacher import Teacher
from nounroll.teacher.phases import Phases
from nounroll.teacher.slots import slots_of

T, SLOTS = 7, 4


def slots(**settings: Any) -> Teacher:
    return make_teacher(make_student(), kind="slots", **settings)


def slots_with_phases() -> Teacher:
    return make_teacher(make_student(MLPCell(SYMBOLS, (8, 16), width=8)), kind="slots")


BOTH = pytest.mark.parametrize("make", [slots, slots_with_phases])


def numbers(teacher: Teacher, inputs: Tensor) -> Tensor:
    """What the encoder writes, (B, T + 1, S, size), before the cell's ``constrain``."""
    encoder = teacher.encoder
    return encoder.at(encoder.read(inputs), None).unflatten(-1, (encoder.count, encoder.size))


def written_step_by_step(teacher: Teacher, inputs: Tensor) -> Tensor:
    """The naive twin of the slots that are kept: one step after another, from the last two inputs and the phases."""
    encoder, before, kept, phases, found = teacher.encoder, None, None, None, []
    for e in encoder.enter(inputs).unbind(1):
        pair = e if before is None else e + encoder.shift.previous(before)
        if encoder.phases is not None:
            phases = turned(encoder.phases, pair, phases)
            pair = pair + 2**0.5 * encoder.phases.enter(torch.cat([phases.real, phases.imag], dim=-1))
        pair = rms_normalise(pair)
        anew = encoder.gate(pair).sigmoid() * encoder.address(pair).softmax(-1)
        new = rms_normalise(encoder.write(pair))
        kept = torch.zeros(len(inputs), anew.shape[-1], encoder.size, dtype=e.dtype) if kept is None else kept
        kept = (1 - anew)[..., None] * kept + anew[..., None] * new[:, None]
        before = e
        found.append(kept)
    return torch.stack(found, dim=1)


def turned(phases: Phases, e: Tensor, before: Tensor | None) -> Tensor:
    """One step of the phases, from 1 where there is none before."""
    seen = rms_normalise(e)
    keep, turn = phases.keep(seen).sigmoid(), phases.turn(seen)
    before = torch.ones_like(torch.complex(keep, keep)) if before is None else before
    return keep * torch.exp(1j * turn) * before + (1 - keep)


def kept_slots(teacher: Teacher, inputs: Tensor) -> Tensor:
    """The slots that the gated recurrence writes."""
    return numbers(teacher, inputs)[:, :, 1 : -1 if teacher.encoder.phases is None else -2]


@BOTH
def test_slots_equal_their_naive_twin_with_gradients(make: Callable[[], Teacher]) -> None:
    teacher, inputs = make(), draw_values(SYMBOLS, 3, T)
    fast, slow = kept_slots(teacher, inputs), written_step_by_step(teacher, inputs)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-12)
    expected = gradients(slow.sin().sum(), teacher)
    for name, value in gradients(fast.sin().sum(), teacher).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-12, msg=name)


@torch.no_grad()
def test_kept_slots_follow_from_the_step_before_them() -> None:
    """(m_{t-1}, x_t) decide them: sequences that agree in both go on alike, whatever was before."""
    teacher, inputs = slots(), draw_values(SYMBOLS, 1, T).expand(2, -1).clone()
    inputs[1, 0] = (inputs[1, 0] + 1) % SYMBOLS.n
    kept = numbers(teacher, inputs)[:, :, 1:-1]
    difference = (kept[0] - kept[1]).abs().flatten(1).amax(1)
    encoder = teacher.encoder
    pairs = rms_normalise(encoder.shift(encoder.enter(inputs)))
    keeps = 1 - encoder.gate(pairs).sigmoid() * encoder.address(pairs).softmax(-1)
    for t in range(3, T + 1):  # both inputs of these steps agree
        ratio = (kept[0, t] - kept[1, t]) / (kept[0, t - 1] - kept[1, t - 1])
        torch.testing.assert_close(ratio, keeps[0, t][:, None].expand_as(ratio), rtol=1e-6, atol=1e-9)
    assert difference[2] > 1e-6


@torch.no_grad()
def test_a_write_goes_by_place_with_phases_alone() -> None:
    """One input repeated: without phases all writes are alike, with phases each goes elsewhere."""
    inputs = torch.zeros(1, T, dtype=torch.int64)
    for make, alike in ((slots, True), (slots_with_phases, False)):
        encoder = make().encoder
        pairs = encoder.shift(encoder.enter(inputs))
        addresses = encoder.address(rms_normalise(encoder.located(pairs)[1]))[0, 2:]
        assert bool((addresses - addresses[0]).abs().amax() < 1e-9) == alike


@torch.no_grad()
def test_the_answer_sees_all_of_the_past_and_the_last_slot_one_input() -> None:
    teacher, inputs = slots(), draw_values(SYMBOLS, 1, T).expand(2, -1).clone()
    inputs[1, 0] = (inputs[1, 0] + 1) % SYMBOLS.n
    found = numbers(teacher, inputs)
    moved = (found[0] - found[1]).abs().amax(-1) > 1e-9
    assert moved[1:, 0].all()  # the answer
    assert moved[1:, -1].tolist() == [True] + [False] * (T - 1)


@torch.no_grad()
def test_the_look_back_predicts_each_target_from_its_past() -> None:
    teacher, inputs = slots(), draw_values(SYMBOLS, 2, T)
    whole = teacher.look_back(teacher.read(inputs))
    assert whole is not None
    assert whole.shape == (2, T, SYMBOLS.n)
    for t in range(1, T):
        part = teacher.look_back(teacher.read(inputs[:, :t]))
        torch.testing.assert_close(part, whole[:, :t], rtol=0, atol=1e-6)  # rotary angles are float32


def test_other_teachers_have_no_look_back() -> None:
    teacher = make_teacher(make_student())
    assert teacher.look_back(teacher.read(draw_values(SYMBOLS, 2, T))) is None


def test_the_decoder_is_the_trunk_and_is_saved_once() -> None:
    teacher = slots()
    names = {name.split(".")[1] for name in teacher.state_dict() if name.startswith("decoder.")}
    assert names == {"enter", "place"}
    assert teacher.decoder is not None
    outputs = teacher.decoder(teacher.memories(draw_values(SYMBOLS, 2, T))[:, 3], draw_values(SYMBOLS, 2, 2))
    found = gradients(outputs.sin().sum(), teacher)
    assert all(found[f"0.encoder.{name}.weight"].abs().sum() > 0 for name in ("out", "embed.map", "address", "write"))


@BOTH
def test_slots_by_parts_equal_those_at_once_with_gradients(
    make: Callable[[], Teacher], monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, inputs = make(), draw_values(SYMBOLS, 3, T)
    whole = kept_slots(teacher, inputs)
    monkeypatch.setattr("nounroll.teacher.slots._PART", 3)
    teacher.encoder.recompute = True
    parts = kept_slots(teacher, inputs)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)
    expected = gradients(whole.sin().sum(), teacher)
    for name, value in gradients(parts.sin().sum(), teacher).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-12, msg=name)


@BOTH
@torch.no_grad()
def test_what_is_kept_equals_the_memories_but_for_the_answer(make: Callable[[], Teacher]) -> None:
    teacher, inputs = make(), draw_values(SYMBOLS, 3, T)
    memories, (some, kept) = teacher.memories(inputs), teacher.kept(inputs)
    assert kept is not None
    assert int((~kept).sum()) == teacher.encoder.size
    torch.testing.assert_close(some[..., kept], memories[..., kept], rtol=0, atol=1e-4)  # a mean square of 1 nearly
    assert (some[..., ~kept] - memories[..., ~kept]).abs().mean() > 0.1


@BOTH
@pytest.mark.parametrize("part", [1, 3, 5])
@torch.no_grad()
def test_what_is_kept_is_the_same_in_parts_of_time(
    make: Callable[[], Teacher], part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, inputs = make(), draw_values(SYMBOLS, 3, T)
    whole, _ = teacher.kept(inputs)
    monkeypatch.setattr("nounroll.teacher.slots._PART", part)
    assert len(list(teacher.encoder.kept(inputs))) == -(-(T + 1) // part)
    parts, _ = teacher.kept(inputs)
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_of_another_teacher_all_is_kept() -> None:
    teacher, inputs = make_teacher(make_student()), draw_values(SYMBOLS, 3, T)
    some, kept = teacher.kept(inputs)
    assert kept is None
    assert torch.equal(some, teacher.memories(inputs))


@pytest.mark.parametrize("only_ahead", [False, True])
def test_dmt_follows_the_answer_only_where_readouts_are_compared(only_ahead: bool) -> None:
    """With the answer's map moved, nothing that is learnt changes, but where labels are read out."""
    student = make_student()
    teacher = make_teacher(student, kind="slots")
    method = make_dmt(student, teacher, only_ahead=only_ahead, knowable=0.1)

    def learnt() -> Tensor:
        return method(batch(), {}, generator(0, "training"), 0.0)[0]["dynamics"]

    before = learnt()
    with torch.no_grad():
        teacher.encoder.answer.weight.neg_()
    assert torch.equal(learnt(), before) != only_ahead


def batch() -> Batch:
    return Batch(draw_values(SYMBOLS, 4, T), draw_values(SYMBOLS, 4, T, seed=1), torch.ones(4, T, dtype=torch.bool))


def test_smt_learns_to_look_back_too() -> None:
    student = make_student()
    teacher = make_teacher(student, kind="slots")
    losses, _ = make_smt(student, teacher)(batch(), {}, generator(0, "training"), 0.0)
    assert losses["look_back"] > 0
    causal, _ = make_smt(student, make_teacher(student))(batch(), {}, generator(0, "training"), 0.0)
    assert "look_back" not in causal


def test_dmt_asks_the_shared_decoder_and_does_not_move_the_labels() -> None:
    student = make_student()
    teacher = make_teacher(student, kind="slots")
    method = make_dmt(student, teacher, decoding=1.0)
    losses, _ = method(batch(), {}, generator(0, "training"), 0.0)
    losses["decoding"].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.requires_grad for p in teacher.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in student.parameters())
    assert not list(dict(method.named_parameters()).keys() & {f"decoder.{n}" for n, _ in teacher.named_parameters()})


def test_frozen_weights_learn_again_after_an_error() -> None:
    teacher = slots()

    def failing() -> None:
        with frozen(teacher):
            assert not any(p.requires_grad for p in teacher.parameters())
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert all(p.requires_grad for p in teacher.parameters())


@pytest.mark.parametrize(
    ("numbers", "count", "size"),
    [(256, 16, 16), (512, 32, 16), (264, 16, 16), (48, 4, 12), (16, 4, 4), (7, 4, 1), (3, 3, 1)],
)
def test_a_memory_is_cut_into_equal_slots(numbers: int, count: int, size: int) -> None:
    assert slots_of(numbers) == (count, size)


@torch.no_grad()
def test_numbers_that_no_slot_takes_are_zero_and_are_not_read() -> None:
    teacher = make_teacher(make_student(), kind="slots")
    teacher.encoder.numbers += 3
    read = teacher.encoder.read(draw_values(SYMBOLS, 2, T))
    found = teacher.encoder.at(read, None)
    assert not found[..., -3:].any()
    assert found[..., :-3].all()
    assert teacher.decoder is not None
    outputs = teacher.decoder(found[:, 3, None], draw_values(SYMBOLS, 2, 2))
    found[..., -3:] = 5
    assert torch.equal(teacher.decoder(found[:, 3, None], draw_values(SYMBOLS, 2, 2)), outputs)


def test_a_memory_of_two_numbers_is_refused() -> None:
    message = "teacher.kind is 'slots', and a memory has 2 numbers (cell.tokens * cell.memory_width); it needs 3 or"
    with pytest.raises(ValueError, match=re.escape(message)):
        slots_of(2)
