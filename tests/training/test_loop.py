"""The loop: same seed, same run; no worse student is handed over; what is not finite is skipped, or ends the run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import FREE, TINY, make_smt, same_state, state, tiny_recipe
from nounroll.core.batch import Batch
from nounroll.experiments import assembly
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.run import Run, fit, train
from nounroll.methods import BPTT, DMT, SMT, TBPTT
from nounroll.rollout.evaluate import constant_guess, evaluate, evaluate_teacher, validation_batches
from nounroll.teacher.slots import SlotEncoder
from nounroll.training.handover import Handover
from nounroll.training.loop import Loop
from nounroll.training.pace import Link
from own_parts import BrokenOnce, CountingCell, Echo, OneLength


@pytest.fixture(autouse=True)
def _costs_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of the time of a tiny run, and have tests of their own."""
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)


def weights(run: Run) -> Any:
    return state(run.student) if run.teacher is None else state(run.student, run.teacher)


def validation_loss(run: Run) -> float:
    return evaluate(run.student, held_out(run, run.recipe.length))["loss"]


def held_out(run: Run, length: int) -> list[Batch]:
    return validation_batches(run.task, 0, length, run.recipe.training.seed)


def evaluations(run: Run, method: str) -> list[float]:
    return [r["loss"] for r in run.history if r["event"] == "evaluation" and r["method"] == method]


SETTINGS = {f"training.{name}": value for name, value in TINY["training"].items() if name not in ("steps", "seed")}


# --- determinism --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["mlp", "gru"])
def test_same_seed_same_run(cell: str) -> None:
    one, same = (train(tiny_recipe(f"cell.kind={cell}")) for _ in range(2))
    assert same_state(weights(one), weights(same))
    assert timeless(one.history) == timeless(same.history)
    other = train(tiny_recipe(f"cell.kind={cell}", "training.seed=1"))
    assert not same_state(weights(one), weights(other))


def timeless(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def test_a_run_neither_reads_nor_moves_the_global_generator() -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    one = train(tiny_recipe())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(12)
    assert same_state(weights(one), weights(train(tiny_recipe())))


# --- the budget ---------------------------------------------------------------------------------------


def test_steps_and_lengths_of_each_method() -> None:
    recipe = tiny_recipe("method=smt+dmt+bptt", "training.steps=11", "smt.share=3", "length=16")
    run = train(recipe)
    steps = [record for record in run.history if record["event"] == "train"]
    assert run.metrics["steps"] == len(steps) == 11
    assert [record["step"] for record in steps] == list(range(1, 12))
    lengths: dict[str, list[int]] = {}
    for record in steps:
        lengths.setdefault(record["method"], []).append(record["length"])
    assert lengths == {"smt": [4, 4, 8, 16, 16, 16, 16], "dmt": [4, 16], "bptt": [4, 16]}
    assert run.metrics["tokens"] == 8 * sum(map(sum, lengths.values()))  # 8 sequences a step, of whatever length
    assert steps[-1]["tokens"] == run.metrics["tokens"]


def test_a_record_is_logged_every_ten_steps_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.loop._LOGGED", 10)
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)
    run = train(tiny_recipe("method=smt+bptt", "training.steps=26"))
    steps = [(record["method"], record["step"]) for record in run.history if record["event"] == "train"]
    assert steps == [("smt", 10), ("smt", 13), ("bptt", 20), ("bptt", 26)]


@pytest.mark.parametrize("refuse", [None, ValueError, AssertionError, KeyError])
def test_a_task_of_one_length_gets_no_curriculum(refuse: type[Exception] | None) -> None:
    task = OneLength(8, refuse)
    run = fit(task, method="smt+dmt", cell="mlp", length=8, steps=4, settings=SETTINGS)
    assert run.metrics["tokens"] == 4 * 8 * 8
    assert {record["length"] for record in run.history if record["event"] == "train"} == {8}
    assert 4 in task.asked  # it was offered a shorter one


@pytest.mark.parametrize(
    ("words", "longest"),
    [
        (("teacher.kind=slots", "method=smt+dmt"), 8),
        (("teacher.kind=slots", "method=smt"), 16),  # nothing after it trains at the whole length
        (("teacher.kind=slots", "method=smt+dmt", "training.curriculum=0"), 16),  # a part may be another task
        (("teacher.kind=causal", "method=smt+dmt"), 16),
    ],
)
def test_a_teacher_whose_rule_holds_at_any_length_trains_on_short_ones(
    words: tuple[str, ...], longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlotEncoder, "long_enough", 8)
    run = train(tiny_recipe("length=16", "training.curriculum=4", "training.steps=40", *words))
    steps = [row for row in run.history if row["event"] == "train"]
    assert max(row["length"] for row in steps if row["method"] == "smt") == longest
    assert {row["length"] for row in steps if row["method"] == "dmt"} <= {4, 8, 16}
    assert steps[-1]["length"] == 16
    assert run.metrics["drift"] > 0


def test_a_method_with_no_step_of_the_budget() -> None:
    run = train(tiny_recipe("training.steps=2"))
    assert run.metrics["steps"] == 2
    assert len(evaluations(run, "bptt")) >= 1


# --- a teacher that is passed -------------------------------------------------------------------------

PASSING = ("method=smt+dmt+bptt", "smt.until_passed=true", "training.steps=12", "training.evaluations=4")


def passes_at(answers: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the teacher is passed, evaluation by evaluation."""
    given = iter(answers)
    monkeypatch.setattr(Handover, "_is_passed", lambda *_: next(given))


def steps_of(run: Run) -> dict[str, int]:
    methods = [record["method"] for record in run.history if record["event"] == "train"]
    return {method: methods.count(method) for method in dict.fromkeys(methods)}


def test_smt_ends_when_the_student_has_passed_its_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    passes_at([True, True], monkeypatch)
    run = train(tiny_recipe(*PASSING))
    assert steps_of(run) == {"smt": 2, "dmt": 6, "bptt": 4}  # the next method takes what is left
    assert run.metrics["steps"] == 12
    assert [(r["method"], r["step"]) for r in run.history if r["event"] == "passed"] == [("smt", 2)]


def test_being_ahead_once_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    passes_at([True, False, True], monkeypatch)
    run = train(tiny_recipe(*PASSING))
    assert steps_of(run) == {"smt": 4, "dmt": 4, "bptt": 4}
    assert not [record for record in run.history if record["event"] == "passed"]


def test_smt_alone_takes_its_whole_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    passes_at([True] * 12, monkeypatch)
    assert steps_of(train(tiny_recipe(*PASSING, "method=smt"))) == {"smt": 12}


def passing_run(monkeypatch: pytest.MonkeyPatch) -> tuple[Run, Handover]:
    """A run in which no teacher was passed, and its hand-over, whose observer still measures its models."""
    asked: list[tuple[Handover, int, float]] = []
    with monkeypatch.context() as patch:
        patch.setattr(Handover, "_is_passed", lambda *seen: bool(asked.append(seen)))
        run = train(tiny_recipe(*PASSING))
    assert {now >= 0.5 for *_, now in asked} == {False, True}, "it is told how far smt is"
    return run, asked[0][0]


def shares(run: Run, length: int) -> tuple[float, float]:
    """By how much student and teacher are better than a guess, in shares of what there is to know."""
    batches = held_out(run, length)
    assert [batch.length for batch in batches] == [length]
    assert run.teacher is not None
    guess = constant_guess(run.task.targets, batches)["loss"]
    student = evaluate(run.student, batches)["loss"]
    teacher = evaluate_teacher(run.student, batches, run.teacher.memories)["loss"]
    return guess - student, guess - teacher


@pytest.mark.parametrize("length", [4, 8])
def test_ahead_is_by_a_share_of_what_there_is_to_know(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run, handover = passing_run(monkeypatch)
    student, teacher = shares(run, length)
    for knowable in (0.5, 3.0):
        handover.knowable = knowable
        for shift, passed in ((-1e-5, True), (1e-5, False)):
            monkeypatch.setattr("nounroll.training.handover._AHEAD", (student - teacher) / knowable + shift)
            assert handover._is_passed(length, 0.49) is passed


@pytest.mark.parametrize("length", [4, 8])
def test_half_of_the_way_a_guess_may_pass_a_teacher_too(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run, handover = passing_run(monkeypatch)
    _, teacher = shares(run, length)
    monkeypatch.setattr("nounroll.training.handover._AHEAD", 99.0)  # the student is not ahead
    for knowable in (0.5, 3.0):
        handover.knowable = knowable
        for shift, passed in ((1e-5, True), (-1e-5, False)):
            monkeypatch.setattr("nounroll.training.handover._KNOWS", teacher / knowable + shift)
            assert handover._is_passed(length, 0.5) is passed
            assert not handover._is_passed(length, 0.49)


@pytest.mark.parametrize("knows", [9.0, -9.0])
def test_a_student_that_was_taught_nothing_starts_again(knows: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither teacher nor student is better than a guess by a share ``knows``; with the control that both are."""
    seen: list[tuple[str, dict[str, Tensor]]] = []

    def step(loop: Loop, link: Link, *rest: Any) -> Any:
        seen.append((link.name, state(loop.student)))
        return original(loop, link, *rest)

    original = Loop._step
    monkeypatch.setattr("nounroll.training.handover._KNOWS", knows)
    monkeypatch.setattr("nounroll.training.handover._AHEAD", 99.0)
    monkeypatch.setattr(Loop, "_step", step)
    run = train(tiny_recipe(*PASSING))
    first, after = seen[0][1], next(weights for name, weights in seen if name == "dmt")
    assert [r["method"] for r in run.history if r["event"] == "restart"] == ["smt"] * (knows > 0)
    assert all(torch.equal(first[name], after[name]) for name in first) == (knows > 0)


# --- no worse student ---------------------------------------------------------------------------------

ABSURD = 1e4  # times the learning rate of the method after smt


@pytest.fixture
def wild(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Recipe]:
    """A recipe whose last method does harm."""

    def links(*given: Any, **more: Any) -> list[Link]:
        found = original(*given, **more)
        return [replace(link, learning_rate=1.0 if link.name == "smt" else ABSURD) for link in found]

    original = assembly.links
    monkeypatch.setattr(assembly, "links", links)
    return lambda method: tiny_recipe(f"method=smt+{method}", "training.steps=16", "training.evaluations=3")


@pytest.mark.parametrize("method", ["dmt", "tbptt", "bptt"])
def test_no_worse_student_is_handed_over(method: str, wild: Callable[[str], Recipe]) -> None:
    run = train(wild(method))
    before, *during = evaluations(run, method)
    assert before == evaluations(run, "smt")[-1]
    assert max(during) > before  # it did harm on the way
    assert validation_loss(run) <= before


@pytest.mark.parametrize("method", ["dmt", "tbptt", "bptt"])
def test_control_without_the_rule_it_is_worse(
    method: str, monkeypatch: pytest.MonkeyPatch, wild: Callable[[str], Recipe]
) -> None:
    monkeypatch.setattr({"dmt": DMT, "tbptt": TBPTT, "bptt": BPTT}[method], "improves_only", False)
    run = train(wild(method))
    assert validation_loss(run) > evaluations(run, "smt")[-1]


@pytest.mark.parametrize("method", ["dmt", "tbptt", "bptt"])
def test_nor_is_one_when_the_run_is_stopped(method: str, tmp_path: Path, wild: Callable[[str], Recipe]) -> None:
    calls = iter(range(99))
    run = train(wild(method), folder=tmp_path / "run", stop=lambda: next(calls) == 13)
    assert not run.finished
    assert validation_loss(run) <= evaluations(run, method)[0]


def test_the_best_student_is_handed_over() -> None:
    run = train(tiny_recipe("method=bptt", "training.steps=12", "training.evaluations=6", "training.learning_rate=0.3"))
    assert validation_loss(run) == pytest.approx(min(evaluations(run, "bptt")), rel=1e-6)


def test_a_student_stopped_within_smt_is_whole(tmp_path: Path) -> None:
    calls = iter(range(99))
    run = train(tiny_recipe("method=smt"), folder=tmp_path / "run", stop=lambda: next(calls) == 1)
    assert run.teacher is not None
    with torch.no_grad():
        expected = run.teacher.empty_memory(torch.zeros(1, 1, dtype=torch.int64))
    torch.testing.assert_close(run.student.empty_memory, expected)


# --- not finite ---------------------------------------------------------------------------------------


def broken(bad: set[int], **values: Any) -> Run:
    settings = SETTINGS | {"training.curriculum": 0, "training.evaluations": 1}
    return fit(Echo(), method="bptt", cell=BrokenOnce(5, bad), length=4, settings=settings, **values)


CHECKED = 2  # steps of the cell before the first training step: by check_cell, and by check_memory
PER_STEP = 4  # steps of the cell for one training step, at T 4


def test_a_cell_that_is_nan_once_costs_one_step() -> None:
    run = broken({CHECKED + 2 * PER_STEP + 1}, steps=6)
    trained = [record["step"] for record in run.history if record["event"] == "train"]
    assert trained == [1, 2, 4, 5, 6]  # the third is not there
    assert all(torch.isfinite(value).all() for value in run.student.state_dict().values())
    assert torch.isfinite(torch.tensor(run.metrics["loss"]))


def test_two_bad_steps_in_a_row_are_skipped_and_three_are_gone_back_from() -> None:
    first = CHECKED + 2 * PER_STEP
    two, three = ({first + PER_STEP * i for i in range(count)} for count in (2, 3))
    run = broken(two, steps=8)
    assert [record["step"] for record in run.history if record["event"] == "train"] == [1, 2, 5, 6, 7, 8]
    run = broken(three, steps=8)
    events = [(record["event"], record["step"]) for record in run.history if record["event"] != "evaluation"]
    skipped = [("skipped", step) for step in (2, 3, 4)]
    assert events == [("train", 1), ("train", 2), *skipped, ("rollback", 0), *(("train", i) for i in range(1, 9))]


def test_settings_reach_the_methods() -> None:
    run = train(tiny_recipe("method=smt", "training.steps=1"))
    assert run.teacher is not None
    built = make_smt(run.student, run.teacher)
    assert isinstance(built, SMT)
    assert built.settings == run.recipe.smt


def test_a_cell_may_have_buffers_of_whole_numbers() -> None:
    run = fit(Echo(), method="bptt", cell=CountingCell(5), length=4, steps=4, settings=SETTINGS)
    assert int(run.student.cell.steps) > 0  # type: ignore[call-overload]
