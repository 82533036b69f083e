"""Which student is handed over: the best on the validation part; where labels are counted, one that is as good."""

import math

import pytest
import torch

from helpers import make_bptt, make_student, same_state, state
from nounroll.core.batch import Space
from nounroll.core.spaces import Count, Real
from nounroll.data.retrieval import Retrieval
from nounroll.models.student import Student
from nounroll.training.counters import Counters
from nounroll.training.engine import Engine
from nounroll.training.handover import Handover
from nounroll.training.observer import Observer
from nounroll.training.settings import Budget, TrainingSettings

LABELS = 64  # one for each held-out sequence


def made(*, by_errors: bool, patience: int = 0, targets: Space | None = None) -> tuple[Student, Handover]:
    task = Retrieval()
    student = make_student(inputs=task.inputs, targets=targets or task.targets, dtype=torch.float32)
    engine = Engine(TrainingSettings(budget=Budget("steps", 1), device="cpu"), {"student": student})
    observer = Observer(task, 8, 0, engine, student, None)
    return student, Handover(student, observer, Counters(), knowable=2.0, by_errors=by_errors, patience=patience)


def figures(accuracy: float, loss: float = 1.0) -> dict[str, float]:
    return {"loss": loss, "accuracy": accuracy}


def move(student: Student) -> None:
    with torch.no_grad():
        student.head.out.bias += 1.0


def handed_over(by_errors: bool, best: dict[str, float], last: dict[str, float]) -> str:
    """Which of two students a method hands over that made one after the other."""
    student, handover = made(by_errors=by_errors)
    method, first = make_bptt(student), state(student)
    handover.note(method, best)
    move(student)
    second = state(student)
    handover.note(method, last)
    handover.end(method, 8, last)
    assert (handover.best, handover.counters.best, handover.counters.waited) == ({}, math.inf, 0)
    assert same_state(state(student), first) or same_state(state(student), second)
    return "the best" if same_state(state(student), first) else "the last"


@pytest.mark.parametrize(
    ("best", "last", "which"),
    [
        (figures(0.5, 0.4), figures(0.5, 0.41), "the best"),
        (figures(0.5, 0.4), figures(0.5, 0.4), "the last"),  # equal ones: the newest
        (figures(0.5, 0.4), figures(0.5, math.nan), "the best"),
        (figures(0.9, 0.5), figures(0.1, 0.4), "the last"),  # labels do not count
    ],
)
def test_losses_decide(best: dict[str, float], last: dict[str, float], which: str) -> None:
    assert handed_over(False, best, last) == which


ERROR = math.sqrt(0.3 * 0.7 / LABELS)


@pytest.mark.parametrize(
    ("best", "last", "which"),
    [
        (figures(0.7), figures(0.7 - 0.9 * ERROR), "the last"),
        (figures(0.7), figures(0.7 - 1.1 * ERROR), "the best"),
        (figures(0.7, 0.5), figures(0.7 - 0.9 * ERROR, 3.0), "the last"),  # it is surer of itself where it errs
        (figures(1.0), figures(1.0 - 0.9 / LABELS), "the last"),  # without a single error there is one to count with
        (figures(1.0), figures(1.0 - 2.0 / LABELS), "the best"),
        (figures(0.7), figures(0.7, math.inf), "the best"),
    ],
)
def test_errors_decide_within_one_standard_error(best: dict[str, float], last: dict[str, float], which: str) -> None:
    assert handed_over(True, best, last) == which


def test_of_equal_errors_the_loss_decides() -> None:
    _, handover = made(by_errors=True)
    assert handover.score(figures(0.5, 0.4)) < handover.score(figures(0.5, 0.5)) < handover.score(figures(0.49, 0.1))


def test_numbers_are_judged_by_their_errors() -> None:
    """The likelihood of a number hangs on the spread that is said with it as well."""
    surer, nearer = {"loss": 0.5, "rmse": 0.3}, {"loss": 2.0, "rmse": 0.1}
    for by_errors, targets, better in [
        (True, Real(1), nearer),
        (False, Real(1), surer),
        (True, Real(2), nearer),
        (True, Count(1), nearer),
        (True, Count(2), surer),  # of two units
    ]:
        _, handover = made(by_errors=by_errors, targets=targets)
        assert min(surer, nearer, key=handover.score) == better
    _, handover = made(by_errors=True, targets=Real(1))
    assert handover.score({"loss": 0.0, "rmse": math.e}) == pytest.approx(1.0)
    assert handover._error(0.5) == 0.0  # which is of shares of labels


def test_several_numbers_are_judged_in_standard_deviations() -> None:
    """Hertz beside thousands of metres: the error in the larger unit does not decide alone."""
    targets = Real(2, shift=(0.0, 0.0), scale=(1.0, 1000.0))
    _, handover = made(by_errors=True, targets=targets)
    far = {"loss": 0.0, "rmse": 100.0, "rmse_standardised": math.e}
    near = {"loss": 0.0, "rmse": 200.0, "rmse_standardised": 1.0}
    assert handover.score(near) == pytest.approx(0.0)
    assert handover.score(far) == pytest.approx(2.0)  # of two numbers, in nats
    values = targets.place(torch.randn(200, 2, generator=torch.Generator().manual_seed(0)))
    assert handover.score(targets.guess(values)) == pytest.approx(0.0, abs=0.2)


@pytest.mark.parametrize(
    ("by_errors", "steps", "targets", "fitted"),
    [
        (True, 3, Real(2), True),
        (False, 3, Real(2), False),  # chosen by the likelihood, which has judged the spread too
        (True, 0, Real(2), False),  # a budget of 0 changes nothing
        (True, 3, Real(2, likelihood="student_t"), False),
        (True, 3, None, False),
    ],
)
def test_the_spread_of_what_was_chosen_by_its_means_is_fitted(
    by_errors: bool, steps: int, targets: Space | None, fitted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Student] = []
    monkeypatch.setattr("nounroll.training.handover.fit_spread", lambda student, _: seen.append(student))
    student, handover = made(by_errors=by_errors, targets=targets)
    handover.counters.link_step = steps
    metrics = {"loss": 1.0, "rmse": 0.5} if targets else figures(0.5)
    handover.note(make_bptt(student), metrics)
    handover.end(make_bptt(student), 8, metrics)
    assert seen == [student] * fitted


@pytest.mark.parametrize(
    ("by_errors", "worse", "waits"),
    [
        (False, figures(0.5, 1.0 + 0.09), False),  # a twentieth of the 2 nats that there are to know
        (False, figures(0.5, 1.0 + 0.11), True),
        (True, figures(0.5 - 1.9 * math.sqrt(0.25 / LABELS)), False),
        (True, figures(0.5 - 2.1 * math.sqrt(0.25 / LABELS)), True),
    ],
)
def test_patience_counts_what_is_clearly_worse(by_errors: bool, worse: dict[str, float], waits: bool) -> None:
    student, handover = made(by_errors=by_errors, patience=2)
    method = make_bptt(student)
    handover.note(method, figures(0.5))
    for _ in range(2):
        assert not handover.is_over(method)
        handover.note(method, worse)
    assert handover.is_over(method) == ("exhausted" if waits else "")
    handover.note(method, figures(0.5))
    assert not handover.is_over(method)
