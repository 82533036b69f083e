"""The library is given every problem without its test part, and nothing but a length, a budget and a seed."""

from typing import Any

import pytest
import suite_ours
import torch
from suite_tasks import TASKS, MissingData, Problem
from suite_tasks.measures import ACCURACY
from suite_tasks.problem import Finite, Numbers, Symbols
from tuning import Budget

import nounroll
from nounroll.data.task import draw


@pytest.fixture(params=["parity", "adding-100", "vowels", "digits", "chorales"])
def problem(request: pytest.FixtureRequest) -> Problem:
    try:
        return TASKS[request.param]()
    except MissingData as error:
        pytest.skip(str(error))


def test_a_task_for_the_library_has_the_spaces_and_lengths_of_its_problem(problem: Problem) -> None:
    task = suite_ours.task(problem)
    for part in (task, task.validation()):
        batch = draw(part, 3, problem.length, 0, "train")  # checks the values against the spaces
        assert batch.mask.any(1).all()
        if isinstance(problem, Finite) and problem.labels is not None:
            assert (batch.mask.sum(1) == 1).all()
    assert task.inputs == suite_ours.space(problem.inputs)


def marked(**changes: Any) -> Finite:
    """Every sequence is a number of its own: 0 .. 19 to train on, 20 .. 29 for validation, 30 .. 39 for the test."""
    split = ["train"] * 20 + ["validation"] * 10 + ["test"] * 10
    return Finite(
        name="marked", title="", inputs=Numbers(1), targets=Symbols(2), length=4, seconds=1, measure=ACCURACY,
        sequences=[torch.full((3 + row % 2, 1), float(row)) for row in range(40)],
        labels=torch.arange(40) % 2, split=split,
    )  # fmt: skip


def test_nothing_that_the_library_reads_is_of_the_test_part() -> None:
    task = suite_ours.task(marked())
    parts = {"train": task, "validation": task.validation()}
    if hasattr(task, "test"):
        parts["test"] = task.test()  # type: ignore[attr-defined]
    for name, part in parts.items():
        seen = draw(part, 500, 4, 0, "any").inputs[:, 0]
        low, high = (0, 19) if name == "train" else (20, 29)
        assert low <= int(seen.min()) <= int(seen.max()) <= high, name


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What ``nounroll.fit`` is called with; it trains nothing."""
    found: dict[str, Any] = {}

    def fit(task: nounroll.SequenceTask, **settings: Any) -> None:
        found.update(settings)
        raise InterruptedError

    monkeypatch.setattr(nounroll, "fit", fit)
    return found


def test_fit_is_called_with_a_length_a_budget_and_a_seed_alone(asked: dict[str, Any]) -> None:
    with pytest.raises(InterruptedError):
        suite_ours.fit(marked(), Budget("seconds", 7.0), 3)
    assert asked == {"length": 4, "seconds": 7.0, "seed": 3}


def test_a_method_and_a_cell_add_a_learning_rate_alone(asked: dict[str, Any]) -> None:
    with pytest.raises(InterruptedError):
        suite_ours.train(marked(), "smt+dmt/gru", Budget("tokens", 500), 3, 6e-3)
    rate = {"training.learning_rate": 6e-3}
    assert asked == {"method": "smt+dmt", "cell": "gru", "length": 4, "tokens": 500, "seed": 3, "settings": rate}
