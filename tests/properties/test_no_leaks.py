"""The future leaks nowhere: what is known of x_0 .. x_t does not change with x_{t+1}, x_{t+2}, ...

Two tools. ``affected`` says which memories change with one input. ``reach`` says which scored predictions do, whatever
the loss does inside: every target is named after its own time step, so that a loss gives away which y_t it scores.
Both say exactly what must change too, and bugs planted in each part are caught.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import (
    CELL_KINDS,
    SYMBOLS,
    TEACHERS,
    draw_values,
    make_bptt,
    make_dmt,
    make_smt,
    make_student,
    make_tbptt,
    make_teacher,
    other_values,
)
from nounroll.core.batch import Batch, Categorical, Real, Space
from nounroll.core.seeding import generator
from nounroll.methods import adapt, decoding, dmt, heed, smt
from nounroll.methods.base import Method
from nounroll.objectives import readout

B, T = 24, 6  # so many rows that every time is drawn somewhere
HORIZON = 3
CHANGED = 1e-12  # double precision: what does not depend on an input does not change with it at all


def changed(inputs: Tensor, space: Space, t: int) -> Tensor:
    """The inputs with another x_t in every row."""
    values = inputs.clone()
    values[:, t] = other_values(space, values[:, t])
    return values


def affected(values: Callable[[Tensor], Tensor], space: Space) -> Tensor:
    """[t, s]: does values(inputs)[:, s] change with x_t?"""
    inputs = draw_values(space, B, T)
    with torch.no_grad():
        base = values(inputs)
        moved = torch.stack(
            [(values(changed(inputs, space, t)) - base).abs().flatten(2).amax((0, 2)) for t in range(T)]
        )
    return moved > CHANGED


# m_s, in the time index of batch.py, has read x_0 .. x_{s-1}: it changes with x_t just when s > t.
KNOWS_THE_PAST = torch.arange(T + 1) > torch.arange(T)[:, None]


# --- memories -------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("kind", TEACHERS)
def test_a_teachers_memory_depends_on_its_prefix_alone(kind: str, space: Space) -> None:
    teacher = make_teacher(make_student(inputs=space), **TEACHERS[kind])
    expected = KNOWS_THE_PAST
    if kind == "short window":  # and on no more than the last three inputs of it
        expected = expected & (torch.arange(T + 1) <= torch.arange(T)[:, None] + 3)
    assert torch.equal(affected(teacher.memories, space), expected)


@pytest.mark.parametrize("kind", TEACHERS)
def test_so_do_the_memories_at_chosen_positions(kind: str) -> None:
    teacher = make_teacher(make_student(), **TEACHERS[kind])
    positions = torch.tensor([5, 0, 2, 5, 3]).expand(B, -1)
    all_of_them = affected(teacher.memories, SYMBOLS)
    assert torch.equal(affected(lambda x: teacher.memories(x, positions), SYMBOLS), all_of_them[:, positions[0]])


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_a_students_memory_and_readout_depend_on_its_prefix_alone(kind: str, space: Space) -> None:
    student = make_student(kind, inputs=space)
    for rollout in (student.rollout, student.stepped_rollout):
        assert torch.equal(affected(rollout, space), KNOWS_THE_PAST)
    assert torch.equal(affected(lambda x: student.readout(student.rollout(x)), space), KNOWS_THE_PAST)


def see_the_future(trunk: torch.nn.Module) -> None:
    """Planted: attention without its causal mask."""
    for block in trunk.blocks:  # type: ignore[union-attr]
        block.attention.causal = False  # type: ignore[union-attr]


def test_control_a_trunk_without_its_mask_is_caught() -> None:
    teacher = make_teacher(make_student())
    see_the_future(teacher.encoder.trunk)  # type: ignore[arg-type]
    assert affected(teacher.memories, SYMBOLS).all()


def test_control_a_window_that_ends_late_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder: Any = make_teacher(make_student(), kind="window").encoder
    encode = encoder._encode
    monkeypatch.setattr(encoder, "_encode", lambda x, rows, places: encode(x, rows, (places + 1).clamp(max=T)))
    assert (affected(lambda x: encoder.at(x, None), SYMBOLS) & ~KNOWS_THE_PAST).any()


def test_control_a_fused_unroll_that_reads_ahead_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    student = make_student("gru")
    unroll = student.cell.unroll
    monkeypatch.setattr(student.cell, "unroll", lambda x, memory: unroll(x.roll(-1, 1), memory))
    assert (affected(student.rollout, SYMBOLS) & ~KNOWS_THE_PAST).any()


# --- scored predictions ---------------------------------------------------------------------------


MODULES: tuple[ModuleType, ...] = (smt, dmt, heed, adapt, readout, decoding)  # where a likelihood may be scored


def scored(monkeypatch: pytest.MonkeyPatch, method: Method, inputs: Tensor, mask: Tensor | None = None) -> list[Tensor]:
    """For each likelihood that a loss scores, in order: its value for each target time, (number of scores, 2)."""
    likelihood, mean = readout.negative_log_likelihood, readout.masked_mean
    found: list[Tensor] = []

    def spy_likelihood(space: Space, outputs: Tensor, times: Tensor) -> Tensor:
        values = likelihood(space, outputs, times)
        found.append(torch.stack([times, values], dim=-1))
        return values

    def spy_mean(values: Tensor, mask: Tensor) -> Tensor:
        found[:] = [f[mask] if f.shape[:-1] == mask.shape else f for f in found]  # what is not scored does not count
        return mean(values, mask)

    with monkeypatch.context() as patch, torch.no_grad():
        for scoring in MODULES:
            spies = {
                "negative_log_likelihood": spy_likelihood,
                "training_loss": spy_likelihood,
                "masked_mean": spy_mean,
            }
            for name, spy in spies.items():
                if hasattr(scoring, name):
                    patch.setattr(scoring, name, spy)
        batch = Batch(
            inputs=inputs,
            targets=torch.arange(T).expand(B, -1),
            mask=torch.ones(B, T, dtype=torch.bool) if mask is None else mask,
        )
        method(batch, {}, generator(0, "loss"), 0.5)
    return [values.flatten(0, -2) for values in found]


def reach(monkeypatch: pytest.MonkeyPatch, method: Method, mask: Tensor | None = None) -> list[Tensor]:
    """For each likelihood of a loss, [t, s]: does some prediction of y_s change with x_t?"""
    inputs = draw_values(SYMBOLS, B, T)
    base = scored(monkeypatch, method, inputs, mask)
    moved = [torch.zeros(T, T, dtype=torch.bool) for _ in base]
    for t in range(T):
        for matrix, before, after in zip(
            moved, base, scored(monkeypatch, method, changed(inputs, SYMBOLS, t), mask), strict=True
        ):
            assert torch.equal(before[:, 0], after[:, 0])  # the same targets in the same places
            matrix[t, before[(before - after)[:, 1].abs() > CHANGED, 0].long()] = True
    return moved


# y_s is read from x_0 .. x_s: a prediction of it may change with x_t just when s >= t.
MAY_KNOW = torch.arange(T) >= torch.arange(T)[:, None]

NAMED = Categorical(T)  # y_t = t


def smt_method(**settings: Any) -> Any:
    student = make_student(targets=NAMED)
    values = {"step_readout": 1.0, "decoding": 1.0, **settings}
    return make_smt(student, make_teacher(student, horizon=HORIZON), **values)


def leaks(matrices: list[Tensor]) -> list[bool]:
    return [bool((matrix & ~MAY_KNOW).any()) for matrix in matrices]


@pytest.mark.parametrize("transitions", [0, 4])
def test_smt_scores_no_prediction_that_knows_its_future(monkeypatch: pytest.MonkeyPatch, transitions: int) -> None:
    of_labels, of_steps, decoder = reach(monkeypatch, smt_method(transitions=transitions))
    assert leaks([of_labels, of_steps, decoder]) == [False] * 3
    for matrix in (of_labels, of_steps, decoder):
        assert torch.equal(matrix, MAY_KNOW)  # and every one knows all of its past


def test_nor_does_a_decoder_that_computes_the_scored_steps_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = torch.arange(T) % 3 == 2
    few = steps.expand(B, -1)
    method = smt_method()
    *_, decoder = reach(monkeypatch, method, few)
    assert torch.equal(decoder, MAY_KNOW & steps)
    see_the_future(method.teacher.decoder.trunk)
    *_, decoder = reach(monkeypatch, method, few)
    assert leaks([decoder]) == [True]  # a control


def dmt_method(**settings: Any) -> Any:
    student = make_student("gru", targets=NAMED)
    return make_dmt(student, make_teacher(student, horizon=HORIZON), decoding=1.0, **settings)


@pytest.mark.parametrize("only_ahead", [False, True])
def test_dmt_scores_no_prediction_that_knows_its_future(monkeypatch: pytest.MonkeyPatch, only_ahead: bool) -> None:
    matrices = reach(monkeypatch, dmt_method(only_ahead=only_ahead, knowable=1e9))  # no window is lost
    assert len(matrices) == (4 if only_ahead else 2)  # two for who is ahead; readout, decoder
    for matrix in matrices:
        assert torch.equal(matrix, MAY_KNOW)


def test_control_a_leaking_decoder_is_caught_in_dmt_too(monkeypatch: pytest.MonkeyPatch) -> None:
    method = dmt_method()
    see_the_future(method.decoder.trunk)
    assert leaks(reach(monkeypatch, method)) == [False, True]


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_bptt_scores_no_prediction_that_knows_its_future(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (of_rollout,) = reach(monkeypatch, make_bptt(make_student(kind, targets=NAMED)))
    assert torch.equal(of_rollout, MAY_KNOW)


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_tbptt_scores_no_prediction_that_knows_its_future(
    monkeypatch: pytest.MonkeyPatch, kind: str, carry: bool
) -> None:
    """Every window knows all of the past, through the memory that it starts from."""
    method = make_tbptt(make_student(kind, targets=NAMED), window=2, carry=carry)
    (of_windows,) = reach(monkeypatch, method)
    assert torch.equal(of_windows, MAY_KNOW)


def test_control_carried_memories_of_later_inputs_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make_tbptt(make_student("lstm", targets=NAMED), window=2)
    rollout = method.student.rollout
    monkeypatch.setattr(method.student, "rollout", lambda x, memory, _: rollout(x, memory).roll(-2, 1))
    assert leaks(reach(monkeypatch, method)) == [True]


def test_control_a_leaking_trunk_is_caught_in_every_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    method = smt_method()
    see_the_future(method.teacher.encoder.trunk)
    assert leaks(reach(monkeypatch, method)) == [True, True, True]


def test_control_a_leaking_decoder_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    method = smt_method()
    see_the_future(method.teacher.decoder.trunk)
    assert leaks(reach(monkeypatch, method)) == [False, False, True]


def test_control_a_decoder_shifted_by_one_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    method = smt_method()
    decoder = method.teacher.decoder
    forward = decoder.forward
    monkeypatch.setattr(decoder, "forward", lambda memory, future: forward(memory, future.roll(-1, 1)))
    assert leaks(reach(monkeypatch, method)) == [False, False, True]


def test_control_memories_shifted_by_one_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    method = smt_method()
    read = method.teacher.encoder.read
    monkeypatch.setattr(method.teacher.encoder, "read", lambda x: read(x).roll(-1, 1))
    assert leaks(reach(monkeypatch, method)) == [True, False, True]
