"""A method whose students get clearly worse ends before its budget does, and hands over the best one."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from helpers import FREE, same_state, state, tiny_recipe
from nounroll.experiments.run import Run, train
from nounroll.training.counters import Counters
from nounroll.training.observer import Observer

STEPS, EVALUATIONS = 24, 12
OVERRIDES = ("method=bptt", f"training.steps={STEPS}", f"training.evaluations={EVALUATIONS}", "training.patience=3")
BEST_AT = 5  # the evaluation, counted from 1, that finds the best student


@pytest.fixture(autouse=True)
def _costs_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)


@pytest.fixture
def _worse_after_the_fifth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation losses fall five times, and rise from there on; they are functions of the step, as resume needs."""
    measure = Observer.measure

    def planted(self: Observer, batches: Any = None) -> dict[str, float]:
        found = measure(self, batches)
        return {**found, "loss": abs(weights_moved(self) - 2 * BEST_AT) + 0.1} if batches is None else found

    monkeypatch.setattr(Observer, "measure", planted)


def rising(monkeypatch: pytest.MonkeyPatch, by: float, start: float = -2.0) -> None:
    """A validation loss that rises with every step."""
    monkeypatch.setattr(Observer, "measure", lambda self, *_: {"loss": start + by * weights_moved(self)})


def weights_moved(observer: Observer) -> float:
    """The number of steps, which the optimiser knows."""
    kept = observer.engine.optimizer.state_dict()["state"]
    return float(max((values["step"] for values in kept.values()), default=0))


def start(*overrides: str, **options: Any) -> Run:
    return train(tiny_recipe(*OVERRIDES, *overrides), **options)


def ends(run: Run) -> list[tuple[str, str, int]]:
    return [(r["event"], r["method"], r["step"]) for r in run.history if r["event"] in ("exhausted", "passed")]


@pytest.mark.usefixtures("_worse_after_the_fifth")
def test_a_run_ends_when_validation_stops_improving() -> None:
    run = start()
    assert ends(run) == [("exhausted", "bptt", 2 * (BEST_AT + 3))]
    assert run.metrics["steps"] == 16 < STEPS  # the rest of the budget is left
    assert run.finished


@pytest.mark.usefixtures("_worse_after_the_fifth")
def test_control_without_patience_it_goes_on() -> None:
    run = start("training.patience=0")
    assert ends(run) == []
    assert run.metrics["steps"] == STEPS


@pytest.mark.usefixtures("_worse_after_the_fifth")
def test_the_best_student_is_handed_over(tmp_path: Path) -> None:
    asked = itertools.count(1)
    run = start()
    at_best = start(folder=tmp_path / "run", stop=lambda: next(asked) == 2 * BEST_AT)
    assert at_best.metrics["steps"] == 2 * BEST_AT
    assert same_state(state(run.student), state(at_best.student))


@pytest.mark.parametrize("by", [0.0, 1e-3])
def test_a_student_that_is_hardly_worse_is_waited_for(by: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """By less than a twentieth of what there is to know, which is a bit in parity."""
    rising(monkeypatch, by)
    assert ends(start()) == []


@pytest.mark.parametrize(("start_at", "ended"), [(-2.0, True), (1.0, False)])
def test_patience_begins_once_something_is_known(start_at: float, ended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant guess has a bit in parity, 0.69 nats; a student with more has nothing to lose yet."""
    rising(monkeypatch, 1.0, start_at)
    assert bool(ends(start())) is ended


def test_the_next_method_has_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    rising(monkeypatch, 1.0)
    run = start("method=tbptt+bptt")
    assert ends(run)[0] == ("exhausted", "tbptt", 4)
    left = [r["progress"] for r in run.history if r["event"] == "train" and r["method"] == "bptt"]
    assert left[0] == pytest.approx(1 / (STEPS - 4), abs=1e-4)  # of all that was left, not of its own share


def test_smt_has_no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Student and teacher move together: its last student is handed over."""
    rising(monkeypatch, 1.0)
    run = start("method=smt")
    assert ends(run) == []
    assert run.metrics["steps"] == STEPS


@pytest.mark.usefixtures("_worse_after_the_fifth")
@pytest.mark.parametrize("stop_at", [11, 13, 14])
def test_a_run_stopped_while_it_waits_ends_at_the_same_step(tmp_path: Path, stop_at: int) -> None:
    asked, whole = itertools.count(1), start()
    stopped = start(folder=tmp_path / "run", stop=lambda: next(asked) == stop_at)
    assert stopped.metrics["steps"] == stop_at
    run = start(folder=tmp_path / "run", resume=True)
    assert ends(run) == ends(whole)
    assert same_state(state(run.student), state(whole.student))


@pytest.mark.usefixtures("_worse_after_the_fifth")
def test_control_a_wait_that_is_forgotten_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, whole = itertools.count(1), start()
    start(folder=tmp_path / "run", stop=lambda: next(asked) == 13)
    read = Counters.from_dict

    def forgetful(document: dict[str, Any]) -> Counters:
        return read({**document, "waited": 0})

    monkeypatch.setattr(Counters, "from_dict", forgetful)
    assert ends(start(folder=tmp_path / "run", resume=True)) != ends(whole)
