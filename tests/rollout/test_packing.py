"""What is read from memories alone, and when training warns that a teacher only looks back."""

import math
from typing import Any

import pytest
import torch

from helpers import SYMBOLS, draw_values, make_student, make_teacher
from nounroll import fit
from nounroll.core.batch import Batch
from nounroll.data.keys_values import KeysValues
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.rollout.packing import Packing, mean_packing, packing, warning

T = 9


def batch(scored: slice = slice(None)) -> Batch:
    mask = torch.zeros(4, T, dtype=torch.bool)
    mask[:, scored] = True
    return Batch(draw_values(SYMBOLS, 4, T), draw_values(SYMBOLS, 4, T, seed=1), mask)


def parts(**settings: Any) -> Any:
    student = make_student()
    return student, make_teacher(student, **settings)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["causal", "slots"])
def test_losses_are_those_of_each_cut_by_hand(kind: str) -> None:
    student, teacher = parts(kind=kind, horizon=0)
    seen = batch()
    found = packing(student, teacher, seen, cuts=4)
    assert [one.cut for one in found] == [2, 4, 6, 8]
    labels, own = teacher.memories(seen.inputs), student.rollout(seen.inputs)
    answers = teacher.look_back(teacher.read(seen.inputs)) if kind == "slots" else student.readout(labels[:, 1:])
    for one in found:
        after = slice(one.cut, T)
        for name, memories in (("packed", labels), ("student_packed", own)):
            outputs = teacher.decoder(memories[:, one.cut], seen.inputs[:, after])[:, 1:]
            expected = negative_log_likelihood(SYMBOLS, outputs, seen.targets[:, after]).double().mean()
            assert math.isclose(getattr(one, name), float(expected), rel_tol=1e-9)
        expected = negative_log_likelihood(SYMBOLS, answers[:, after], seen.targets[:, after]).double().mean()
        assert math.isclose(one.teacher, float(expected), rel_tol=1e-9)
    assert mean_packing(found)["packed"] == sum(one.packed for one in found) / 4


def test_a_horizon_ends_what_is_asked_for() -> None:
    student, teacher = parts(horizon=3)
    assert [one.cut for one in packing(student, teacher, batch(slice(7, 9)), cuts=4)] == [6, 8]


def test_nothing_is_read_without_a_decoder_or_a_scored_step() -> None:
    student, teacher = parts(decoder_layers=0)
    assert packing(student, teacher, batch()) == []
    student, teacher = parts()
    assert packing(student, teacher, batch(slice(0))) == []
    assert mean_packing([]) == {}
    assert warning([], 2.0, 2.0) == ""


@pytest.mark.parametrize(
    ("teacher", "packed", "warns"), [(0.1, 1.8, True), (0.1, 0.5, False), (1.5, 1.9, False), (0.1, math.nan, False)]
)
def test_training_warns_where_the_teacher_answers_and_its_memory_does_not(
    teacher: float, packed: float, warns: bool
) -> None:
    said = warning([Packing(3, teacher, packed, 2.0)], guess=2.0, knowable=2.0)
    assert said.startswith("the teacher answers and its memory does not") == warns
    assert bool(said) == warns


def test_a_run_tells_what_its_memories_hold() -> None:
    settings = {"training.evaluations": 2, "teacher.kind": "slots", "teacher.horizon": 0}
    run = fit(KeysValues(pairs=2), method="smt", cell="mlp", length=8, steps=4, settings=settings)
    looks = [record for record in run.history if record["event"] == "evaluation"]
    assert looks
    assert all(math.isfinite(record["packed"]) and math.isfinite(record["student_packed"]) for record in looks)
    without = fit(KeysValues(pairs=2), method="smt", cell="mlp", length=8, steps=4, settings={"smt.decoding": 0.0})
    assert not any("packed" in record for record in without.history)
