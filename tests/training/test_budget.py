"""Budgets: whatever is equal is equal to less than one training step, it drives the run, and resume keeps to it."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from helpers import same_state, state, tiny_recipe
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.run import Run, train
from nounroll.storage import checkpoint
from nounroll.training.counters import Counters
from nounroll.training.engine import Engine
from nounroll.training.pace import Link, Pace
from nounroll.training.schedule import length_at, stages

BUDGETS = {"tokens": 500, "flops": 2e7, "sequential_flops": 5e5}
CHAINS = ("smt+dmt+bptt", "tbptt", "bptt")


def recipe(budget: str, chain: str = "smt+dmt+bptt", *overrides: str) -> Recipe:
    return tiny_recipe(f"training.{budget}={BUDGETS[budget]}", f"method={chain}", *overrides)


def of_steps(run: Run, budget: str) -> list[float]:
    """What each training step took of the budget."""
    spent = [0.0, *(record[budget] for record in run.history if record["event"] == "train")]
    return [after - before for before, after in itertools.pairwise(spent)]


def assert_equal_budgets(runs: list[Run], budget: str) -> None:
    """Every run spent the budget, and less than one step more."""
    for run in runs:
        last = of_steps(run, budget)[-1]
        assert last > 0
        assert BUDGETS[budget] <= run.metrics[budget] < BUDGETS[budget] + last


@pytest.mark.parametrize("budget", BUDGETS)
def test_runs_under_one_budget_spend_as_much(budget: str) -> None:
    assert_equal_budgets([train(recipe(budget, chain)) for chain in CHAINS], budget)


def test_control_a_budget_in_other_units_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the loop takes for FLOPs are tokens times a constant that is right for one method."""
    spent = Counters.spent

    def in_tokens(self: Counters, budget: str, method: str | None = None) -> float:
        return spent(self, "tokens", method) * 1e4

    with monkeypatch.context() as patch:
        patch.setattr(Pace, "now", planted(Pace.now, in_tokens))
        runs = [train(recipe("flops", chain)) for chain in ("smt+dmt", "bptt")]
    with pytest.raises(AssertionError):
        assert_equal_budgets(runs, "flops")


def planted(now: Any, spent: Any) -> Any:
    """``Pace.now`` with another ``Counters.spent``, for itself alone."""

    def wrong(self: Pace, link: Link, engine: Engine) -> float:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Counters, "spent", spent)
            return now(self, link, engine)

    return wrong


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_methods_of_a_chain_share_it(budget: str) -> None:
    run = train(recipe(budget, "smt+dmt+bptt", "smt.share=2"))
    end = {record["method"]: record[budget] for record in run.history if record["event"] == "train"}
    step = max(of_steps(run, budget))
    for method, part in {"smt": 0.5, "dmt": 0.75, "bptt": 1.0}.items():
        assert part * BUDGETS[budget] <= end[method] < part * BUDGETS[budget] + step


@pytest.mark.parametrize("budget", BUDGETS)
def test_it_drives_the_curriculum_and_the_learning_rate(budget: str) -> None:
    run = train(recipe(budget, "bptt", "length=16"))
    settings, before, rates = run.recipe.training, 0.0, []
    for record in (record for record in run.history if record["event"] == "train"):
        assert record["length"] == length_at(stages(settings, 16), before)
        assert record["progress"] == pytest.approx(record[budget] / BUDGETS[budget], abs=1e-4)
        before, rates = record["progress"], [*rates, record["rate"]]
    assert len(set(rates)) == len(rates)


# --- what is told was really spent --------------------------------------------------------------------


def counted_in_training(monkeypatch: pytest.MonkeyPatch, chain: str, *more: str) -> tuple[Run, float]:
    """A run, and the FLOPs that torch's counter saw in its training steps themselves."""
    step, seen = Engine.step, [0.0]

    def spy(self: Engine, *given: Any) -> Any:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            losses = step(self, *given)
        seen.append(float(counter.get_total_flops()))
        return losses

    monkeypatch.setattr(Engine, "step", spy)
    return train(recipe("flops", chain, *more)), sum(seen)


# It is counted on two sequences, of one draw: the spread of memories grows faster than their number, the first step of
# tbptt rolls out, and how many scored steps are in the windows of dmt, or decoded by smt, depends on the draw.
TOLD = {"smt": 0.15, "smt+dmt": 0.1, "tbptt": 0.05, "bptt": 1e-9, "transformer": 1e-9}


@pytest.mark.parametrize("chain", TOLD)
def test_the_flops_told_are_those_of_the_training_steps(chain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = counted_in_training(monkeypatch, chain)
    assert run.metrics["flops"] == pytest.approx(seen, rel=TOLD[chain])


def without_teacher(monkeypatch: pytest.MonkeyPatch) -> tuple[Run, float]:
    """A teacher that says nothing is asked in the first two steps of DMT, and then in few."""
    monkeypatch.setattr("nounroll.methods.heed._LITTLE", 10.0)
    monkeypatch.setattr("nounroll.methods.heed._PATIENCE", 2)
    monkeypatch.setattr("nounroll.training.loop._LOGGED", 1)
    run, seen = counted_in_training(monkeypatch, "smt+dmt", "smt.share=0.1", "dmt.only_ahead=true", "dmt.window=3")
    assert sum("drift" not in record for record in run.history if record["event"] == "train") > 10
    return run, seen


def test_so_are_those_of_steps_without_the_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = without_teacher(monkeypatch)
    assert run.metrics["flops"] == pytest.approx(seen, rel=0.1)


def test_control_steps_without_the_teacher_that_count_as_others_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.pace._UNAIDED", "")
    run, seen = without_teacher(monkeypatch)
    assert run.metrics["flops"] != pytest.approx(seen, rel=0.1)


@pytest.mark.parametrize("chain", ["smt", "bptt"])
def test_control_gradients_that_are_counted_twice_are_caught(chain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nounroll.training import pace

    count = pace.step_cost
    monkeypatch.setattr(pace, "step_cost", lambda *given: {name: cost * 5 / 3 for name, cost in count(*given).items()})
    run, seen = counted_in_training(monkeypatch, chain)
    assert run.metrics["flops"] != pytest.approx(seen, rel=max(TOLD.values()))


# --- resume -------------------------------------------------------------------------------------------


def weights(run: Run) -> dict[str, Tensor]:
    assert run.teacher is not None
    return state(run.student, run.teacher)


def resumed(folder: Path, budget: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run stopped in its last method and gone on with, where counting again would give something else."""
    asked = itertools.count(1)
    chosen = recipe(budget, "smt+dmt", "training.curriculum=0")
    steps = int(train(chosen).metrics["steps"])
    stopped = train(chosen, folder=folder, stop=lambda: next(asked) == steps - 2)
    assert not stopped.finished
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: {"flops": 1e9, "sequential_flops": 1e9})
    return train(chosen, folder=folder, resume=True)


@pytest.mark.parametrize("budget", BUDGETS)
def test_resume_is_exact(budget: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(recipe(budget, "smt+dmt", "training.curriculum=0"))
    run = resumed(tmp_path / "run", budget, monkeypatch)
    assert run.finished
    assert same_state(weights(run), weights(whole))
    assert {**run.metrics, "seconds": 0} == {**whole.metrics, "seconds": 0}


def test_control_costs_that_are_forgotten_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = checkpoint.read

    def forgetful(*given: Any) -> Any:
        tensors, documents = read(*given)
        return tensors, {**documents, "counters": {**documents["counters"], "tokens": {}, "costs": {}}}

    monkeypatch.setattr(checkpoint, "read", forgetful)
    whole = train(recipe("flops", "smt+dmt", "training.curriculum=0"))
    assert not same_state(weights(resumed(tmp_path / "run", "flops", monkeypatch)), weights(whole))


def test_counting_leaves_the_run_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither weights nor random numbers change with it."""
    counted = train(tiny_recipe())
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: {"flops": 1.0, "sequential_flops": 1.0})
    assert same_state(weights(counted), weights(train(tiny_recipe())))
    assert torch.isfinite(torch.tensor(counted.metrics["flops"]))
