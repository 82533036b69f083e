"""One setting, several values, the same budget."""

import pytest

from helpers import tiny_recipe
from nounroll.experiments.run import train
from nounroll.experiments.sweep import sweep
from nounroll.training.guard import TrainingError
from own_parts import Echo


@pytest.fixture(autouse=True)
def _costs_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: {"flops": 1.0, "sequential_flops": 1.0})


def test_each_value_is_a_run_of_its_own() -> None:
    recipe = tiny_recipe("method=bptt", "training.steps=3")
    points = sweep(recipe, "cell.memory_width", [4, 8])
    assert [(point.value, point.memory) for point in points] == [(4, 8), (8, 16)]
    for point in points:
        alone = train(tiny_recipe("method=bptt", "training.steps=3", f"cell.memory_width={point.value}"))
        assert point.metrics is not None
        assert {**point.metrics, "seconds": 0} == {**alone.metrics, "seconds": 0}


def test_an_option_of_the_task_is_swept() -> None:
    how = ("method=bptt", "training.steps=3", "task.kind=modular_sum")
    for point in sweep(tiny_recipe(*how), "task.options.modulus", [2, 5]):
        alone = train(tiny_recipe(*how, f"task.options.modulus={point.value}"))
        assert point.metrics is not None
        assert point.metrics["loss"] == alone.metrics["loss"]
    with pytest.raises(ValueError, match=r"task\.options\.colour is not an option of modular_sum"):
        sweep(tiny_recipe(*how), "task.options.colour", [2])


def test_the_transformer_has_no_memory_to_count() -> None:
    (point,) = sweep(tiny_recipe("method=transformer", "training.steps=2"), "teacher.width", [8])
    assert point.memory is None
    assert point.metrics is not None


def test_a_task_of_the_users_own() -> None:
    recipe = tiny_recipe("method=bptt", "training.steps=2")
    (point,) = sweep(recipe, "training.seed", [3], Echo())
    assert point.metrics is not None
    with pytest.raises(ValueError, match=r"setting is task\.kind, and the task is an object of your own"):
        sweep(recipe, "task.kind", ["copy"], Echo())


def test_a_run_that_diverges_leaves_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise TrainingError("not finite")

    monkeypatch.setattr("nounroll.experiments.sweep.train", diverge)
    (point,) = sweep(tiny_recipe(), "cell.tokens", [1])
    assert (point.metrics, point.memory) == (None, None)


def test_a_bad_value_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.experiments.sweep.train", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(ValueError, match=r"cell.memory_width is 0; it must be at least 1"):
        sweep(tiny_recipe(), "cell.memory_width", [4, 0])
    with pytest.raises(ValueError, match="values is empty"):
        sweep(tiny_recipe(), "cell.memory_width", [])
