"""Random schedules of stops: the samples, in order, and every loss are those of a run that never stopped."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import FREE, tiny_recipe
from nounroll.data.task import SequenceTask
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.run import train
from nounroll.training import journal, schedule
from nounroll.training.pace import Link
from nounroll.training.run_state import RunState

SCHEDULES = 100 if os.environ.get("NOUNROLL_NIGHTLY") else 6

Trace = list[tuple[Any, ...]]


@pytest.fixture(autouse=True)
def _costs_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)


def recipe_of(draw: random.Random) -> Recipe:
    """A tiny run by one method or a chain, of few steps, with or without parts of batches and shorter lengths."""
    method = draw.choice(["smt", "bptt", "tbptt", "smt+dmt", "smt+tbptt", "smt+dmt+tbptt+bptt"])
    return tiny_recipe(
        f"method={method}",
        f"training.steps={3 * (method.count('+') + 1) + draw.randrange(4)}",
        f"training.accumulate={draw.choice([1, 2, 4])}",
        f"training.curriculum={draw.choice([0, 4])}",
        f"training.evaluations={draw.choice([1, 2, 5])}",
        f"training.seed={draw.randrange(1000)}",
        f"smt.noise={draw.choice([0, 1])}",
        f"tbptt.carry={draw.choice(['true', 'false'])}",
        f"dmt.decoding={draw.choice([0, 1])}",
        f"dmt.only_ahead={draw.choice(['true', 'false'])}",
        f"dmt.window={draw.choice([3, 32])}",
    )


class Recorder:
    """What every step of a run was trained on, and what came of it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.trace: Trace = []
        draw, log = schedule.training_batch, journal.Journal.write

        def drawn(task: SequenceTask, size: int, length: int, seed: int, index: int) -> Any:
            batch = draw(task, size, length, seed, index)
            self.trace.append(("sample", index, length, batch.inputs.tolist(), batch.targets.tolist()))
            return batch

        def logged(this: journal.Journal, event: str, link: Link, progress: float, **values: Any) -> None:
            losses = {name: value for name, value in values.items() if name not in ("flops", "sequential_flops")}
            self.trace.append((event, link.name, this.counters.step, losses))
            log(this, event, link, progress, **values)

        patch.setattr(schedule, "training_batch", drawn)
        patch.setattr(journal.Journal, "write", logged)


def trace_of(recipe: Recipe, folder: Path, stops: Iterator[int], patch: pytest.MonkeyPatch) -> Trace:
    """The trace of a run that is asked to stop after so many steps, again and again, and resumed each time."""
    recorder, begun = Recorder(patch), False
    while True:
        left = next(stops, None)

        def asked() -> bool:
            nonlocal left
            left = None if left is None else left - 1
            return left == 0

        run = train(recipe, folder=folder, resume=begun, stop=asked)
        begun = True
        if run.finished:
            return recorder.trace


def differences(folder: Path, seed: int, patch: pytest.MonkeyPatch) -> tuple[int, int]:
    """(stops, records that differ) of one random schedule."""
    draw = random.Random(seed)
    recipe = recipe_of(draw)
    stops = [draw.randrange(1, 4) for _ in range(draw.randrange(1, 6))]
    with patch.context() as first:
        whole = trace_of(recipe, folder / "whole", iter(()), first)
    with patch.context() as second:
        parts = trace_of(recipe, folder / "parts", iter(stops), second)
    apart = sum(one != other for one, other in zip(whole, parts, strict=False)) + abs(len(whole) - len(parts))
    return len(stops), apart


def test_any_schedule_of_stops_gives_the_same_samples_and_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(SCHEDULES):
        assert differences(tmp_path / str(seed), seed, monkeypatch)[1] == 0, f"schedule {seed}"


@pytest.mark.parametrize("forgotten", ["the step", "the optimiser"])
def test_control_what_is_forgotten_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    if forgotten == "the optimiser":
        monkeypatch.setattr("nounroll.training.run_state.load_optimizer_state", lambda *_: None)
    else:
        restore = RunState._restore

        def forgetful(this: RunState, tensors: Any, documents: Any) -> None:
            restore(this, tensors, documents)
            this.counters.step = max(0, this.counters.step - 1)

        monkeypatch.setattr(RunState, "_restore", forgetful)
    assert any(differences(tmp_path / str(seed), seed, monkeypatch)[1] for seed in range(3))
