"""The whole analysis: its parts agree with one another and with ``evaluate``, and it goes to JSON and back."""

import dataclasses
import json
import math
from typing import Any

import pytest
import torch

from helpers import make_student, make_teacher, tiny_recipe
from nounroll.analysis.analyze import Analysis, analyze
from nounroll.core.batch import Batch
from nounroll.data.parity import Parity
from nounroll.data.retrieval import Retrieval
from nounroll.data.sequences import Sequences
from nounroll.data.task import SequenceTask
from nounroll.experiments.run import train
from nounroll.experiments.run_folder import open_student, open_teacher
from nounroll.rollout.collapse import spread
from nounroll.rollout.evaluate import evaluate, validation_batches
from own_parts import OneLength, RunningMean


def analysed(task: SequenceTask, kind: str = "mlp", length: int = 8, **values: Any) -> Analysis:
    student = make_student(kind, task.inputs, task.targets, dtype=torch.float32)
    teacher = make_teacher(student, dtype=torch.float32)
    return analyze(student, teacher, task, length=length, sequences=12, horizon=4, **values)


@pytest.mark.parametrize("kind", ["mlp", "gru"])
def test_its_parts_agree(kind: str) -> None:
    found = analysed(Parity(), kind)
    assert found.teacher is not None
    for one in (found.student, found.teacher):
        losses = [value for value in one.positions.loss if value is not None]
        assert sum(losses) / 8 == pytest.approx(one.metrics["loss"], rel=1e-4)
        assert one.ahead is not None
        assert len(one.ahead) == 4
        assert sum(one.spectrum) == pytest.approx(1.0)
    assert found.drift is not None
    drift = evaluate(*_same(found, kind), make_teacher(_same(found, kind)[0], dtype=torch.float32).kept)["drift"]
    assert sum(found.drift.curve) / 8 * found.drift.variance == pytest.approx(drift, rel=1e-4)
    assert [one.length for one in found.lengths] == [8, 16, 32, 64]
    assert found.lengths[0].student == found.student.metrics
    assert found.lengths[0].teacher == found.teacher.metrics


def _same(found: Analysis, kind: str) -> tuple[Any, list[Batch]]:
    student = make_student(kind, Parity().inputs, Parity().targets, dtype=torch.float32)
    return student, validation_batches(Parity(), found.sequences, found.length, 0, stream="test")


@pytest.mark.parametrize("task", [Retrieval(values=3), RunningMean()])
def test_it_is_plain_json(task: SequenceTask) -> None:
    found = analysed(task, "mlp").to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found


class Restarting(Parity):
    """Sequences that restart after 3 and after 8 steps: parts of 3, 5 and all later steps."""

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        resets = torch.zeros(batch_size, length, dtype=torch.bool)
        resets[:, [3, 8]] = True
        return dataclasses.replace(super().sample(batch_size, length, generator), resets=resets)


def test_parts_between_resets_are_measured_without_padding() -> None:
    task = Restarting()
    student = make_student(inputs=task.inputs, targets=task.targets, dtype=torch.float32)
    teacher, batches = make_teacher(student, dtype=torch.float32), validation_batches(task, 12, 10, 0, stream="test")
    found = analyze(student, teacher, task, length=10, sequences=12, horizon=4)
    assert found.drift is not None
    assert len(found.drift.curve) == len(found.student.positions.loss) == 5
    parts = [batch.times(*span) for batch in batches for span in ((0, 3), (3, 8), (8, 10))]
    with torch.no_grad():
        real = [(student.rollout(one.inputs)[:, 1:], teacher.memories(one.inputs)[:, 1:]) for one in parts]
    own, labels = (torch.cat([memories.flatten(0, 1) for memories in kind]) for kind in zip(*real, strict=True))
    assert found.drift.variance == pytest.approx(float(labels.var(dim=0, correction=0).mean()), rel=1e-4)
    assert found.student.variance == pytest.approx(spread(own).variance, rel=1e-4)
    last = torch.stack([(one - other)[:, 4].square().mean((-2, -1)) for one, other in real if one.shape[1] == 5])
    assert found.drift.curve[4] * found.drift.variance == pytest.approx(float(last.mean()), rel=1e-4)


def test_what_is_not_finite_is_null() -> None:
    document = analysed(Parity())
    broken = Analysis(**{**vars(document), "leak": math.nan})
    assert broken.to_dict()["leak"] is None


def test_without_a_teacher() -> None:
    task = Parity()
    found = analyze(make_student(inputs=task.inputs, targets=task.targets), None, task, length=8, sequences=4)
    assert (found.teacher, found.drift, found.explained, found.leak) == (None, None, None, None)
    assert found.student.gradients.norms
    assert all(one.teacher is None for one in found.lengths)


def test_a_task_of_one_length_has_no_longer_ones() -> None:
    task = OneLength(8, ValueError)
    student = make_student(inputs=task.inputs, targets=task.targets, dtype=torch.float32)
    assert [one.length for one in analyze(student, None, task, length=8, sequences=4).lengths] == [8]


class Unscored(Parity):
    """Sequences without a scored target."""

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        batch = super().sample(batch_size, length, generator)
        return dataclasses.replace(batch, mask=torch.zeros_like(batch.mask))


def test_sequences_without_a_scored_target_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^sequences is 12 and length is 8; none of these held-out sequences has a"):
        analysed(Unscored())


def test_it_counts_the_sequences_that_there_are() -> None:
    inputs = torch.rand(40, 8, 1)
    task = Sequences(inputs, targets=inputs.cumsum(1))
    found = analyze(make_student(inputs=task.inputs, targets=task.targets), None, task, length=8, sequences=12)
    assert (found.sequences, [one.sequences for one in found.lengths]) == (4, [4])


def test_neither_weights_nor_the_global_generator_move() -> None:
    before = torch.random.get_rng_state()
    assert analysed(Parity()).to_dict() == analysed(Parity()).to_dict()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_teacher_of_a_run_comes_back(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: {"flops": 1.0, "sequential_flops": 1.0})
    run = train(tiny_recipe(), folder=tmp_path / "run")
    _, task, student = open_student(tmp_path / "run")
    teacher = open_teacher(tmp_path / "run", student)
    assert teacher is not None
    assert run.teacher is not None
    (batch,) = validation_batches(task, 4, 8, 0)
    assert torch.equal(teacher.memories(batch.inputs), run.teacher.memories(batch.inputs))
