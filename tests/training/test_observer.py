"""Labels of held-out sequences are made once between two steps of training, and never outlive the weights."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch

from helpers import make_student, make_teacher, tiny_recipe
from nounroll.data import build
from nounroll.data.retrieval import Retrieval
from nounroll.experiments.assembly import make_loop
from nounroll.experiments.resolve import resolve
from nounroll.teacher import Teacher
from nounroll.training import observer as observing
from nounroll.training.engine import Engine
from nounroll.training.observer import Observer
from nounroll.training.settings import Budget, TrainingSettings


@pytest.fixture
def observer() -> Observer:
    task = Retrieval()
    student = make_student(inputs=task.inputs, targets=task.targets, dtype=torch.float32)
    teacher = make_teacher(student, dtype=torch.float32)
    engine = Engine(TrainingSettings(budget=Budget("steps", 1), device="cpu"), {"student": student, "teacher": teacher})
    return Observer(task, 8, 0, engine, student, teacher)


@pytest.fixture
def made(observer: Observer) -> Iterator[list[int]]:
    """A mark for each batch that the teacher labels."""
    marks: list[int] = []
    memories = Teacher.memories

    def noted(teacher: Teacher, inputs: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        marks.append(len(inputs))
        return memories(teacher, inputs, *given)

    with mock.patch.object(Teacher, "memories", noted):
        yield marks


def change(observer: Observer) -> None:
    assert observer.teacher is not None
    with torch.no_grad():
        for weight in observer.teacher.parameters():
            weight.mul_(1.5)


def test_labels_are_made_once_for_all_measurements(observer: Observer, made: list[int]) -> None:
    first = observer.measure(), observer.measure_teacher(observer.validation)
    once = len(made)
    assert once > 0
    assert (observer.measure(), observer.measure_teacher(observer.validation)) == first
    assert len(made) == once


def test_labels_are_of_the_weights_as_they_are(observer: Observer) -> None:
    before = observer.measure_teacher(observer.validation)
    change(observer)
    assert observer.measure_teacher(observer.validation) == before  # the control: nothing has said that they moved
    observer.engine.updates += 1
    assert observer.measure_teacher(observer.validation) != before


def test_labels_that_are_too_many_are_not_kept(
    observer: Observer, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = observer.measure()
    monkeypatch.setattr(observing, "_KEPT", 0)
    observer.engine.updates += 1
    once = len(made)
    assert observer.measure() == kept
    assert observer.measure() == kept
    assert len(made) == 3 * once


def test_every_step_and_every_step_back_counts_as_a_change_of_weights() -> None:
    run = tiny_recipe("method=smt", "training.steps=3")
    seen: list[int] = []
    step = Engine.step

    def stepped(engine: Engine, *given: Any) -> Any:
        found = step(engine, *given)
        seen.append(engine.updates)
        return found

    with mock.patch.object(Engine, "step", stepped):
        resolved = resolve(run, task := build(run.task.kind, run.task.options))
        loop = make_loop(resolved, task, None, folder=None)
        loop.run()
    assert seen == [1, 2, 3]
    loop.state.go_back()
    assert loop.engine.updates == 4
