"""Losses and weights that are not finite: nothing of them stays in a run, and a run that cannot be saved ends."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import FREE, same_state, state, tiny_recipe, tree_of
from nounroll.experiments.run import Run, train
from nounroll.storage import checkpoint
from nounroll.training import loop, schedule
from nounroll.training.counters import Counters
from nounroll.training.engine import Engine
from nounroll.training.guard import Guard, TrainingError
from nounroll.training.loop import Loop
from nounroll.training.run_state import RunState

STEPS = 12  # of smt alone, with a checkpoint every third
PLACES = 60 if "NOUNROLL_NIGHTLY" in os.environ else 6
OVERRIDES = ("method=smt", f"training.steps={STEPS}", "training.evaluations=4")


@pytest.fixture(autouse=True)
def _costs_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)


class Poison:
    """Gradients of some batches become NaN, after the loss and before the optimiser's step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, batches: set[int], once: bool = False) -> None:
        self.drawn: list[int] = []
        self.kept: list[bool] = []  # whether a poisoned step left everything as it was
        draw, step = schedule.training_batch, Engine.step

        def spy(task: Any, size: int, length: int, seed: int, index: int) -> Any:
            self.drawn.append(index)
            return draw(task, size, length, seed, index)

        def poisoned(engine: Engine, *given: Any) -> Any:
            if self.drawn[-1] not in batches:
                return step(engine, *given)
            if once:
                batches.discard(self.drawn[-1])
            before, first = everything(engine), engine.groups["student"][-1]
            hook = first.register_hook(lambda gradient: gradient * torch.nan)
            losses = step(engine, *given)
            hook.remove()
            self.kept.append(same_state(before, everything(engine)))
            return losses

        monkeypatch.setattr(schedule, "training_batch", spy)
        monkeypatch.setattr(Engine, "step", poisoned)


def everything(engine: Engine) -> dict[str, Tensor]:
    """Weights and the optimiser's state."""
    weights = {f"{name}.{i}": p.detach().clone() for name, group in engine.groups.items() for i, p in enumerate(group)}
    kept = engine.optimizer.state_dict()["state"]
    moments = {f"{i}.{name}": value.clone() for i, values in kept.items() for name, value in values.items()}
    return weights | moments


def weights(run: Run) -> dict[str, Tensor]:
    assert run.teacher is not None
    return state(run.student, run.teacher)


def start(*overrides: str, **options: Any) -> Run:
    return train(tiny_recipe(*OVERRIDES, *overrides), **options)


def events(run: Run, *names: str) -> list[tuple[str, int]]:
    return [(record["event"], record["step"]) for record in run.history if record["event"] in names]


def test_a_bad_step_leaves_weights_and_optimiser_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    poison = Poison(monkeypatch, {2, 5, 9})
    run = start()
    assert poison.kept == [True] * 3
    assert events(run, "skipped", "rollback") == [("skipped", 2), ("skipped", 5), ("skipped", 9)]
    assert [record["batch"] for record in run.history if record["event"] == "skipped"] == [2, 5, 9]
    assert all(value.isfinite().all() for value in weights(run).values())


def test_control_a_step_that_is_taken_all_the_same_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Engine.step

    def reckless(engine: Engine, *given: Any) -> Any:
        losses = step(engine, *given)
        if losses is None:
            engine.optimizer.step()
        return losses

    monkeypatch.setattr(Engine, "step", reckless)
    poison = Poison(monkeypatch, {2})
    start()
    assert poison.kept[0] is False


def avoiding(monkeypatch: pytest.MonkeyPatch, *batches: int, overrides: tuple[str, ...] = ()) -> Run:
    """A run that was told from the start which batches to leave out."""
    monkeypatch.setattr(loop, "Counters", lambda: Counters(avoid=list(batches)))
    return start(*overrides)


def test_three_in_a_row_go_back_and_the_run_is_one_without_those_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        clean = avoiding(patch, 4, 5, 6)
    poison = Poison(monkeypatch, {4, 5, 6})
    run = start()
    assert poison.drawn == [0, 1, 2, 3, 4, 5, 6, 3, *range(7, 15)]  # it went back to the checkpoint of step 3
    assert events(run, "skipped", "rollback") == [("skipped", 4), ("skipped", 5), ("skipped", 6), ("rollback", 3)]
    (back,) = (record for record in run.history if record["event"] == "rollback")
    assert (back["from_step"], back["avoid"]) == (6, [4, 5, 6])
    assert same_state(weights(run), weights(clean))
    assert run.metrics["loss"] == clean.metrics["loss"]


def test_after_going_back_a_student_can_still_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The student that smt began with is kept beside the state of its first step."""
    Poison(monkeypatch, {0, 1, 2}, once=True)
    monkeypatch.setattr("nounroll.training.handover._KNOWS", 9.0)
    run = start("method=smt+dmt", "smt.until_passed=true")
    assert [name for name, _ in events(run, "rollback", "restart")] == ["rollback", "restart"]


CARRIED = ("method=smt+tbptt", "tbptt.window=2", "training.curriculum=0", "smt.share=0.5", "training.seed=1")


def carried_after(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """What is under way before and after every step that was skipped."""
    seen: list[tuple[Any, Any]] = []
    step = Loop._step

    def noted(self: Loop, *given: Any) -> Any:
        before = self.state.method_state
        losses = step(self, *given)
        if losses is None:
            seen.append((before, self.state.method_state))
        return losses

    monkeypatch.setattr(Loop, "_step", noted)
    return seen


def test_sequences_under_way_stay_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    Poison(monkeypatch, {9})
    seen = carried_after(monkeypatch)
    start(*CARRIED)
    ((before, after),) = seen
    assert before
    assert after is before


def test_sequences_under_way_go_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the bad batches had never been."""
    with monkeypatch.context() as patch:
        clean = avoiding(patch, 9, 10, 11, overrides=CARRIED)
    Poison(monkeypatch, {9, 10, 11})
    run = start(*CARRIED)
    assert [name for name, _ in events(run, "rollback")] == ["rollback"]
    assert same_state(weights(run), weights(clean))


def test_control_sequences_that_go_on_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        clean = avoiding(patch, 9, 10, 11, overrides=CARRIED)
    Poison(monkeypatch, {9, 10, 11})
    restore = RunState._restore

    def forgetful(self: RunState, *given: Any) -> None:
        handed = self.method_state
        restore(self, *given)
        self.method_state = handed

    monkeypatch.setattr(RunState, "_restore", forgetful)
    monkeypatch.setattr(Loop, "_step", going_on(Loop._step))
    assert not same_state(weights(start(*CARRIED)), weights(clean))


def going_on(step: Any) -> Any:
    """The loop's step with a planted bug: what a skipped step has left is taken up."""

    def wrong(self: Loop, link: Any, *given: Any) -> Any:
        left: list[Any] = []
        forward = link.method.forward

        def noted(*inputs: Any) -> Any:
            losses, state = forward(*inputs)
            left.append(state)
            return losses, state

        link.method.forward = noted
        losses = step(self, link, *given)
        del link.method.forward
        self.state.method_state = left[-1]
        return losses

    return wrong


@pytest.mark.parametrize(
    "forgotten", ["load_optimizer_state", "weights"], ids=["without the optimiser", "without the weights"]
)
def test_control_a_way_back_that_is_not_whole_is_seen(monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    with monkeypatch.context() as patch:
        clean = avoiding(patch, 4, 5, 6)
    Poison(monkeypatch, {4, 5, 6})
    if forgotten == "weights":
        restore = RunState._restore
        monkeypatch.setattr(
            RunState, "_restore", lambda self, tensors, documents: restore(self, now(self, tensors), documents)
        )
    else:
        monkeypatch.setattr(f"nounroll.training.run_state.{forgotten}", lambda *_: None)
    assert not same_state(weights(start()), weights(clean))


def now(self: RunState, tensors: Any) -> Any:
    return {**tensors, "student": self.student.state_dict()}


def test_a_run_stopped_after_it_went_back_goes_on_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Poison(monkeypatch, {4, 5, 6})
    whole = start(folder=tmp_path / "whole")
    asked = itertools.count(1)
    stopped = start(folder=tmp_path / "run", stop=lambda: next(asked) == 7)
    assert not stopped.finished
    assert events(stopped, "rollback") == [("rollback", 3)]
    run = start(folder=tmp_path / "run", resume=True)
    assert run.finished
    assert same_state(weights(run), weights(whole))
    assert tree_of(tmp_path / "run" / "student") == tree_of(tmp_path / "whole" / "student")


def test_three_ways_back_to_one_checkpoint_end_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    poison = Poison(monkeypatch, set(range(4, 99)))
    with pytest.raises(TrainingError, match=r"not finite 3 times in smt, .* lower training\.learning_rate"):
        start(folder=tmp_path / "run")
    assert poison.drawn.count(3) == 3
    tensors, _ = checkpoint.read(tmp_path / "run" / "checkpoints" / "step-00000003")  # what was good is still there
    assert all(value.isfinite().all() for group in tensors.values() for value in group.values())


def spoil(monkeypatch: pytest.MonkeyPatch, when: Callable[[int], bool]) -> None:
    """A weight turns to NaN after a step that looked good, as by an overflow in the optimiser."""
    step, count = Engine.step, itertools.count(1)

    def spoiling(engine: Engine, *given: Any) -> Any:
        losses = step(engine, *given)
        if when(next(count)):
            engine.groups["student"][-1].data.view(-1)[0] = torch.nan
        return losses

    monkeypatch.setattr(Engine, "step", spoiling)


@pytest.mark.parametrize("place", [4, 6], ids=["between checkpoints", "right before one"])
def test_a_weight_that_is_not_finite_is_never_saved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: int
) -> None:
    spoil(monkeypatch, lambda count: count == place)
    monkeypatch.setattr("nounroll.training.run_state._KEPT", 9)
    run = start(folder=tmp_path / "run")
    assert [event for event, _ in events(run, "rollback")] == ["rollback"]
    folders = checkpoint.every(tmp_path / "run" / "checkpoints")
    assert len(folders) >= 4
    for folder in folders:
        tensors, _ = checkpoint.read(folder)
        assert all(value.isfinite().all() for group in tensors.values() for value in group.values())
    assert all(value.isfinite().all() for value in weights(run).values())


def test_control_without_a_look_at_the_weights_the_writer_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spoil(monkeypatch, lambda count: count == 6)
    monkeypatch.setattr(Engine, "is_finite", lambda _: True)
    with pytest.raises(checkpoint.CheckpointError, match="holds NaN or infinity"):
        start(folder=tmp_path / "run")


@pytest.mark.nightly
def test_bad_steps_here_and_there_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad step at a time, at ``PLACES`` places: the loss ends within 2 % of the clean run's."""
    longer = ("method=bptt", "training.steps=120", "training.curriculum=0", "training.learning_rate=0.001")
    clean = start(*longer).metrics["loss"]
    places = torch.randperm(120, generator=torch.Generator().manual_seed(0))[:PLACES].tolist()
    for place in places:
        with monkeypatch.context() as patch:
            poison = Poison(patch, {place})
            run = start(*longer)
            assert poison.kept == [True]
            assert run.metrics["loss"] == pytest.approx(clean, rel=0.02), place


def test_the_count_starts_anew_after_a_good_step_and_after_a_checkpoint() -> None:
    guard = Guard()
    assert [guard.stepped(i, good) for i, good in enumerate([False, False, True, False, False, False])] == [
        *[False] * 5,
        True,
    ]
    assert guard.roll_back("") == [3, 4, 5]
    guard.roll_back("")
    guard.saved()
    guard.roll_back("")
    guard.roll_back("")
    with pytest.raises(TrainingError):
        guard.roll_back("")


def test_batches_to_avoid_are_passed_over() -> None:
    counters = Counters(avoid=[2, 3, 6])
    drawn = []
    for counters.step in range(6):
        drawn.append(counters.draw)
    assert drawn == [0, 1, 4, 5, 7, 8]


def test_the_newest_two_checkpoints_are_kept(tmp_path: Path) -> None:
    start(folder=tmp_path / "run")
    assert [path.name for path in checkpoint.every(tmp_path / "run" / "checkpoints")] == [
        "step-00000009",
        "step-00000012",
    ]
