"""``auto``: trials within the budget choose method and cell; whatever interrupts them, the run comes out the same."""

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from helpers import FREE, TINY, same_state, state, tiny_recipe, tree_of
from nounroll.data.parity import Parity
from nounroll.data.sequences import Sequences
from nounroll.data.task import SequenceTask
from nounroll.data.text import Text
from nounroll.experiments import auto
from nounroll.experiments.auto import Chosen
from nounroll.experiments.facts import look
from nounroll.experiments.recipe import Recipe, parse
from nounroll.experiments.run import Run, fit, train
from nounroll.experiments.run_folder import open_run
from nounroll.rollout.evaluate import constant_guess, validation_batches
from nounroll.training.engine import Engine
from nounroll.training.loop import Loop
from nounroll.training.settings import Budget
from own_parts import Echo, OwnCell

FIRST, SECOND = auto._FIRST, auto._SECOND
STEPS, SHARES = 40, (0.06, 0.12)  # trials of 2.4 and 4.8 steps
LEFT = 28  # what three losers of the first round and one of the second leave
OPEN = {name: value for name, value in TINY.items() if name not in ("method", "cell", "smt", "dmt", "tbptt")}
CELL = {name: value for name, value in TINY["cell"].items() if name != "kind"}
CANDIDATES = ["bptt lstm", "bptt gru", "bptt tape", "tbptt mlp", "smt+dmt transformer"]
BOOK = "It was a dark and stormy night. " * 40

WHOLE = TemporaryDirectory()  # runs that were never interrupted; gone when Python ends


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)
    monkeypatch.setattr(auto, "_LEAST", {"steps": 2.0, "seconds": 0.4})
    monkeypatch.setattr(auto, "_FIRST", SHARES[0])
    monkeypatch.setattr(auto, "_SECOND", SHARES[1])


def recipe_of(*overrides: str, steps: int = STEPS, kind: str = "parity") -> Recipe:
    """A recipe that leaves method and cell open."""
    recipe = parse({**OPEN, "cell": CELL}, [f"training.steps={steps}", "training.curriculum=4", *overrides])
    return recipe.changed({"task": parse({"task": {"kind": kind}, "length": 1}).task})


def start(*overrides: str, task: SequenceTask | None = None, **options: Any) -> Run:
    return train(recipe_of(*overrides), task, **options)


def names(run: Run) -> list[str]:
    assert run.chosen is not None
    return [f"{trial['method']} {trial['cell']}" for trial in run.chosen.trials]


def timeless(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


# --- the choice ---------------------------------------------------------------------------------------


def test_the_choice_is_a_function_of_data_and_seed() -> None:
    one, same, other = start(), start(), start("training.seed=1")
    assert one.chosen == same.chosen
    assert same_state(state(one.model), state(same.model))
    assert timeless(one.history) == timeless(same.history)
    assert one.chosen is not None
    assert other.chosen is not None
    assert one.chosen.trials != other.chosen.trials


def test_it_says_which_figures_decided() -> None:
    run = start()
    assert run.chosen is not None
    assert names(run) == CANDIDATES
    trials = run.chosen.trials
    ahead = auto._HEAD_START * look(Parity(), 8, seed=0).knowable  # of the usual choice

    def rank(trial: dict[str, Any], place: int) -> float:
        batches = validation_batches(Parity(), 0, trial["lengths"][place], run.recipe.training.seed)
        loss = min(trial["losses"][place], constant_guess(Parity().targets, batches)["loss"])
        return loss - (ahead if trial is trials[0] else 0.0)

    finalists = sorted(trials, key=lambda trial: rank(trial, 0))[:2]
    assert [len(trial["losses"]) for trial in trials] == [2 if trial in finalists else 1 for trial in trials]
    assert [trial["steps"] for trial in trials] == [[3, 5] if trial in finalists else [3] for trial in trials]
    best = min(finalists, key=lambda trial: rank(trial, 1))
    assert (run.chosen.method, run.chosen.cell) == (best["method"], best["cell"])
    assert (run.recipe.method, run.recipe.cell.kind) == (best["method"], best["cell"])
    start_of_line = f"chose {run.chosen.method} {run.chosen.cell}: validation loss {best['losses'][-1]:.4g} after 12 %"
    assert run.chosen.reason.startswith(start_of_line)
    for trial in trials:
        assert f"{trial['method']} {trial['cell']}" in run.chosen.reason
    assert {length for trial in trials for length in trial["lengths"]} == {4}  # the curriculum's, at the time


def test_trials_take_a_small_part_and_the_best_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[int, int] = {}
    step = Engine.step

    def counted(self: Engine, *given: Any) -> Any:
        taken[id(self)] = taken.get(id(self), 0) + 1
        return step(self, *given)

    monkeypatch.setattr(Engine, "step", counted)
    monkeypatch.setattr(auto, "_FIRST", FIRST)
    monkeypatch.setattr(auto, "_SECOND", SECOND)
    run = train(recipe_of(steps=160))
    *losers, whole = sorted(taken.values())
    assert losers == [3, 3, 3, 5]
    assert run.metrics["steps"] == whole == 148, "the steps of its trial are steps of the run"
    assert sum(losers) + 5 <= 0.15 * 160
    assert sum(taken.values()) <= 160 + len(taken)
    steps = [record["step"] for record in run.history if record["event"] == "train"]
    assert steps[-1] == 148
    assert steps == sorted(set(steps))
    assert run.finished


def test_the_winner_is_what_its_trial_has_begun() -> None:
    """The same method and cell alone, with what the losers left, is the same run."""
    run = start()
    assert run.chosen is not None
    method, cell = run.chosen.method, run.chosen.cell
    alone = train(recipe_of(f"method={method}", f"cell.kind={cell}", steps=LEFT))
    assert same_state(state(run.model), state(alone.model))


def test_a_candidate_that_diverges_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    best = start().chosen
    assert best is not None
    step = Engine.step

    def diverging(self: Engine, method: Any, *given: Any) -> Any:
        found = step(self, method, *given)
        module = method.module
        kinds = type(module).__name__.lower(), type(module.student.cell).__name__.lower()
        return None if kinds == (best.method.partition("+")[0], f"{best.cell}cell") else found

    monkeypatch.setattr(Engine, "step", diverging)
    chosen = start().chosen
    assert chosen is not None
    assert (chosen.method, chosen.cell) != (best.method, best.cell)
    trial = next(t for t in chosen.trials if (t["method"], t["cell"]) == (best.method, best.cell))
    assert trial["losses"] == [None]
    json.loads(json.dumps(asdict(chosen), allow_nan=False))


def test_candidates_that_know_nothing_are_equal_and_the_first_is_taken() -> None:
    task = Parity()
    loop = SimpleNamespace(settings=SimpleNamespace(seed=0), student=SimpleNamespace(targets=task.targets))

    def rank(loss: float, head_start: float = 0.0) -> float:
        trial = SimpleNamespace(losses=[loss], lengths=[8], task=task, loop=loop, head_start=head_start)
        return auto._Trial.rank.fget(trial)  # type: ignore[attr-defined]

    assert rank(0.8, 0.01) < rank(0.75) == rank(5.0)  # a guess has 0.69
    assert rank(0.3) < rank(0.4) < rank(0.8)  # the control: those that know something
    assert rank(math.inf, 99.0) == math.inf  # one that diverged is no guess


@pytest.mark.parametrize(("head_start", "wins"), [(99.0, True), (-99.0, False)])
def test_the_usual_choice_has_a_head_start(head_start: float, wins: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "_HEAD_START", head_start)
    chosen = start().chosen
    assert chosen is not None
    assert ((chosen.method, chosen.cell) == ("bptt", "lstm")) == wins


@pytest.mark.parametrize(("budget", "named"), [("steps", "30 steps"), ("seconds", "0.001 seconds")])
def test_a_budget_that_is_too_short_tries_nothing_and_says_so(budget: str, named: str) -> None:
    amount = named.partition(" ")[0]
    run = train(recipe_of().changed({"training.budget": Budget(budget, float(amount))}))
    assert run.chosen is not None
    assert (run.chosen.method, run.chosen.cell) == ("bptt", "lstm")
    assert run.chosen.reason.startswith(f"{named} are too few to try anything, at least ")
    assert run.chosen.trials == [{"method": "bptt", "cell": "lstm", "losses": [], "lengths": [], "steps": []}]
    assert run.recipe.training.budget.amount == float(amount)


# --- what may be left open ----------------------------------------------------------------------------


def test_few_sequences_with_a_label_at_the_end_are_tried_without_a_teacher() -> None:
    """A trial is a few steps there: once SMT had the lowest of losses that were all near chance, and was taken."""
    facts = look(Sequences([[0, 1, 2]] * 12, labels=[0, 1] * 6, split=(0.5, 0.25, 0.25)), 3, seed=0)
    tried = auto.candidates(recipe_of("cell.kind=auto"), facts, None)
    assert tried == [("bptt", "pooled"), ("bptt", "lstm"), ("bptt", "gru")]


def test_a_method_that_is_given_stays_and_cells_are_tried() -> None:
    run = start("method=tbptt", "cell.kind=auto")
    assert names(run) == ["tbptt lstm", "tbptt gru", "tbptt tape", "tbptt mlp", "tbptt transformer"]
    assert run.recipe.method == "tbptt"


def test_a_cell_that_a_recipe_does_not_name_is_tried_too() -> None:
    assert names(start("method=tbptt")) == names(start("method=tbptt", "cell.kind=auto"))


def test_a_cell_that_is_given_stays_and_methods_are_tried() -> None:
    run = start("cell.kind=elman")
    assert names(run) == ["bptt elman", "tbptt elman", "smt+dmt elman"]
    assert run.recipe.cell.kind == "elman"


@pytest.mark.parametrize("kept", [True, False])
def test_a_cell_of_ones_own_is_trained_in_place(kept: bool, tmp_path: Path) -> None:
    cell = OwnCell(5)
    before = state(cell)
    recipe = recipe_of(kind="custom")
    run = train(recipe, Echo(), cell, folder=tmp_path / "run" if kept else None)
    assert names(run) == ["bptt OwnCell", "tbptt OwnCell", "smt+dmt OwnCell"]
    assert run.student.cell is cell
    assert not same_state(state(cell), before)
    again = train(recipe, Echo(), OwnCell(5))
    assert again.chosen is not None


def test_given_settings_reach_every_candidate() -> None:
    run = start("training.weight_decay=0.25", "readout_width=8")
    assert run.recipe.training.weight_decay == 0.25
    assert run.recipe.readout_width == 8


def test_nothing_open_nothing_chosen() -> None:
    assert train(tiny_recipe("training.steps=1", "method=bptt")).chosen is None


def test_fit_leaves_both_open_by_itself() -> None:
    settings = {f"training.{name}": TINY["training"][name] for name in ("batch_size", "evaluations", "device")}
    run = fit(Echo(), length=6, steps=20, settings=settings)
    assert run.chosen is not None
    assert "too few" in run.chosen.reason


def test_several_processes_refuse_it_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "launched", lambda: (0, 2))
    with pytest.raises(ValueError, match=r"^method or cell\.kind is 'auto'; several processes need both named[^\n]+$"):
        start()


# --- stopped, killed, gone on with -------------------------------------------------------------------


def text_task() -> SequenceTask:
    folder = Path(WHOLE.name) / "book"
    folder.mkdir(exist_ok=True)
    (folder / "book.txt").write_text(BOOK)
    return Text(path=folder / "book.txt")


TASKS: dict[str, Callable[[], SequenceTask | None]] = {"parity": lambda: None, "text": text_task}


def go(kind: str, folder: Path, *, resume: bool = False, **options: Any) -> Run:
    """A run of a kind of data; resumed by the recipe that its folder has, as the command does it."""
    recipe = open_run(folder)[0] if resume else recipe_of(kind="custom" if kind == "text" else kind)
    return train(recipe, TASKS[kind](), folder=folder, resume=resume, **options)


@cache
def uninterrupted(kind: str) -> tuple[Run, Path]:
    folder = Path(WHOLE.name) / kind
    return go(kind, folder), folder


def records(folder: Path) -> list[dict[str, Any]]:
    return timeless([json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()])


def assert_same_run(run: Run, folder: Path, kind: str) -> None:
    whole, its_folder = uninterrupted(kind)
    assert run.finished
    assert run.chosen == whole.chosen == Chosen.read(folder)
    assert same_state(state(run.model), state(whole.model))
    assert records(folder) == records(its_folder) == timeless(run.history)
    assert (folder / "recipe.yaml").read_bytes() == (its_folder / "recipe.yaml").read_bytes()
    student = Path("student") / "model.safetensors"
    assert (folder / student).read_bytes() == (its_folder / student).read_bytes()
    assert not (folder / "trials").exists()
    apart = {name for name in {*tree_of(folder)} ^ {*tree_of(its_folder)} if not name.startswith("checkpoints/")}
    assert apart == set()


@pytest.mark.parametrize("kind", TASKS)
def test_what_is_in_a_folder_is_what_is_in_memory(kind: str) -> None:
    run, folder = uninterrupted(kind)
    alone = train(recipe_of(kind="custom" if kind == "text" else kind), TASKS[kind]())
    assert alone.chosen == run.chosen
    assert same_state(state(alone.model), state(run.model))
    assert open_run(folder)[0] == run.recipe
    assert names(run) == (
        CANDIDATES
        if kind == "parity"
        else ["tbptt lstm", "tbptt gru", "tbptt mlp", "bptt lstm", "smt+tbptt transformer"]
    )


# Steps 1 to 15 are of the first round, to 19 of the second; then the best one goes on.
OFTEN = [("parity", 4), ("parity", 15), ("parity", 19), ("parity", 20), ("text", 18)]
NIGHTLY = [("parity", 1), ("parity", 17), ("parity", 30), ("text", 2), ("text", 21)]


@pytest.mark.parametrize(
    ("kind", "stop_at"), [*OFTEN, *(pytest.param(*place, marks=pytest.mark.nightly) for place in NIGHTLY)]
)
def test_stopped_anywhere_it_goes_on_to_the_same_student(kind: str, stop_at: int, tmp_path: Path) -> None:
    asked = itertools.count(1)
    stopped = go(kind, tmp_path / "run", stop=lambda: next(asked) == stop_at)
    assert not stopped.finished
    assert (stopped.chosen is None) == (stop_at <= 19)
    assert_same_run(go(kind, tmp_path / "run", resume=True), tmp_path / "run", kind)


def test_stopped_again_and_again(tmp_path: Path) -> None:
    run = go("parity", tmp_path / "run", stop=lambda: True)
    for _ in range(8):
        run = go("parity", tmp_path / "run", resume=True, stop=lambda: True)
    assert not run.finished
    assert_same_run(go("parity", tmp_path / "run", resume=True), tmp_path / "run", "parity")


class Killed(BaseException):
    """The process is gone: nothing is caught, nothing is tidied up that a death would not tidy."""


def dying(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, at: int, *, after: bool) -> None:
    original, calls = getattr(owner, name), itertools.count(1)

    def deadly(*given: Any, **named: Any) -> Any:
        dies = next(calls) == at
        if dies and not after:
            raise Killed
        found = original(*given, **named)
        if dies:
            raise Killed
        return found

    monkeypatch.setattr(owner, name, deadly)


PLACES = {
    "in the first trial": (Engine, "step", 2, False),
    "between two trials": (Engine, "step", 4, False),
    "in the second round": (Engine, "step", 17, False),
    "before a trial's checkpoint": (Loop, "save", 3, False),
    "before its figures are written": (auto, "write_json", 2, False),
    "after they are": (auto, "write_json", 2, True),
    "as the best one moves": (Loop, "save", 8, False),
    "when it has moved": (Loop, "save", 8, True),
    "before the choice is written": (auto, "write_json", 8, False),
    "after it is": (auto, "write_json", 8, True),
    "before the recipe is written": (auto, "write", 2, False),
    "after it is, beside the trials": (auto, "write", 2, True),
    "in the first step after": (Engine, "step", 20, False),
    "later": (Engine, "step", 35, False),
}


AMID_A_ROUND = ("in the first trial", "in the second round", "later")  # where a run is stopped above, too


@pytest.mark.parametrize(
    "place", [pytest.param(p, marks=[pytest.mark.nightly] if p in AMID_A_ROUND else []) for p in PLACES]
)
def test_killed_anywhere_it_goes_on_to_the_same_student(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, at, after = PLACES[place]
    with monkeypatch.context() as patch:
        dying(patch, owner, name, at, after=after)
        with pytest.raises(Killed):
            go("parity", tmp_path / "run")
    assert_same_run(go("parity", tmp_path / "run", resume=True), tmp_path / "run", "parity")


def test_no_step_is_taken_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps_after_a_stop(tmp_path, monkeypatch) == 14 + LEFT - 17


def test_control_a_trials_checkpoint_that_is_ignored_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loop, "load", lambda *_: False)
    assert steps_after_a_stop(tmp_path, monkeypatch) > 14 + LEFT - 17


def steps_after_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of a run that was stopped in the second round, after 17 steps of all trials together."""
    asked, taken, step = itertools.count(1), itertools.count(), Engine.step
    go("parity", tmp_path / "run", stop=lambda: next(asked) == 17)
    monkeypatch.setattr(Engine, "step", lambda *given: (next(taken), step(*given))[1])
    go("parity", tmp_path / "run", resume=True)
    return next(taken)


def test_control_weights_that_are_not_put_back_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = itertools.count(1)
    go("parity", tmp_path / "run", stop=lambda: next(asked) == 17)
    monkeypatch.setattr("nounroll.training.run_state.load_weights", lambda *_: None)
    run = go("parity", tmp_path / "run", resume=True)
    assert not same_state(state(run.model), state(uninterrupted("parity")[0].model))


def test_control_figures_that_are_made_up_are_noticed(tmp_path: Path) -> None:
    asked = itertools.count(1)
    go("parity", tmp_path / "run", stop=lambda: next(asked) == 17)
    chosen = uninterrupted("parity")[0].chosen
    assert chosen is not None
    for path in (tmp_path / "run" / "trials").rglob("rounds.json"):
        rounds = json.loads(path.read_text())
        path.write_text(json.dumps({**rounds, "losses": [-loss for loss in rounds["losses"]]}))
    assert go("parity", tmp_path / "run", resume=True).chosen != chosen


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    asked = itertools.count(1)
    go("parity", tmp_path / "run", stop=lambda: next(asked) == 17)
    with pytest.raises(ValueError, match=r"^readout_width is 8, and .* was trained with 16; set it back"):
        train(recipe_of("readout_width=8"), folder=tmp_path / "run", resume=True)


def test_another_process_is_kept_out_while_it_chooses(tmp_path: Path) -> None:
    said: list[str] = []

    def second() -> bool:
        if not said:
            with pytest.raises(ValueError, match="is in use by another process") as refusal:
                go("parity", tmp_path / "run")
            said.append(str(refusal.value))
        return False

    go("parity", tmp_path / "run", stop=second)
    assert said


def test_the_callers_random_state_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    start()
    assert torch.equal(torch.random.get_rng_state(), before)
