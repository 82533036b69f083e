"""Training of a run from its recipe, in memory or in a folder (see ``nounroll.experiments.run_folder``)."""

import copy
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from nounroll.core.interrupts import stop_on_interrupt
from nounroll.core.machine import launched, speaks
from nounroll.data.task import SequenceTask
from nounroll.experiments.assembly import build, make_loop
from nounroll.experiments.auto import Chosen, choose, drop_trials
from nounroll.experiments.beginning import Beginning, begin
from nounroll.experiments.footprint import check_memory
from nounroll.experiments.recipe import Recipe, parse
from nounroll.experiments.rehearsal import with_rehearsal
from nounroll.experiments.resolve import Resolved
from nounroll.experiments.resumption import resumed
from nounroll.experiments.run_folder import CUSTOM, way_on, write_json
from nounroll.experiments.warm_start import Start, open_start
from nounroll.methods import AUTO, TRANSFORMER, Adapt
from nounroll.methods.cost import COSTS
from nounroll.models.student import Student
from nounroll.nn.low_rank import add_low_rank, has_low_rank, merge_low_rank
from nounroll.rollout.evaluate import evaluate_task, validation_batches
from nounroll.rollout.forgetting import forgetting
from nounroll.rollout.transformer import CausalTransformer
from nounroll.teacher import Teacher
from nounroll.training.loop import Loop
from nounroll.training.settings import BUDGETS, Budget

_LENGTH = 128  # T of a task that has no natural length


@dataclass
class Run:
    """Result of ``fit``.

    Attributes:
        recipe: all settings.
        model: the trained model, on the CPU, in evaluation mode: a student, or a Transformer (method transformer).
        metrics: loss (nats per scored element), bits, accuracy or rmse, drift, steps, tokens, flops,
            sequential_flops, seconds; measured on held-out sequences that training never used.
        history: the records of metrics.jsonl.
        teacher: the teacher, for analysis; None if no method of the chain has one.
        task: source of the sequences.
        chosen: the decision of ``auto`` with its measurements; None if method and cell were given.
        folder: the run's folder, or None.
        finished: False if the run was stopped before its budget was spent.
    """

    recipe: Recipe
    model: Student | CausalTransformer
    metrics: dict[str, float]
    history: list[dict[str, Any]] = field(repr=False)
    teacher: Teacher | None = field(repr=False)
    task: SequenceTask = field(repr=False)
    chosen: Chosen | None = None
    folder: Path | None = None
    finished: bool = True

    @property
    def student(self) -> Student:
        """The trained student.

        Raises:
            ValueError: the method was transformer, which trains no student.
        """
        if not isinstance(self.model, Student):
            raise ValueError(f"method was {TRANSFORMER!r}, which trains no student; run.model is the Transformer")
        return self.model

    @property
    def teacher_metrics(self) -> dict[str, float] | None:
        """Metrics of the student's teacher, with the cost of training up to the end of smt; None without a teacher.

        They are measured on the same sequences as ``metrics``, with the student's readout at the end of smt.
        """
        records = [record for record in self.history if record["event"] == "teacher"]
        return _figures(records[-1]) if records else None


def fit(
    task: SequenceTask,
    *,
    method: str = AUTO,
    cell: str | nn.Module = AUTO,
    student: Student | str | Path | None = None,
    teacher: Teacher | str | Path | None = None,
    new: str | Sequence[str] = (),
    rehearse: SequenceTask | str | Path | None = None,
    length: int | None = None,
    seconds: float | None = None,
    steps: int | None = None,
    tokens: int | None = None,
    flops: float | None = None,
    sequential_flops: float | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> Run:
    """Train a recurrent network on a task.

    Args:
        task: the user's own task, or one of ``nounroll.data``.
        method: "auto", chosen by short trials within the budget; a chain of smt, dmt, tbptt and bptt; or the baseline
            transformer, which has no cell.
        cell: "auto"; a kind (mlp, transformer, gru, lstm, elman, tape, mingru, pooled); or a module (see
            ``nounroll.cells.base``), which is trained in place.
        student: a student for a warm start, in place of a cell, or the folder of a student or of a run. Its cell,
            spaces and scale are kept, and its readout if the targets are of its space. A copy is trained; the returned
            student is never worse on the validation part. "auto" then chooses only the method.
        teacher: a teacher for a warm start of smt or dmt, or the folder of a run that has one. A copy is trained, and
            dmt then needs no smt before it. By default the teacher is new.
        new: "inputs", "head" or both: parts of ``student`` that start with new weights. Inputs of another space need
            "inputs"; targets of another space always get a new head.
        rehearse: the old task of ``student``, or the folder of the run that learnt it, for the method adapt.
        length: T, in time steps; by default the longest of a task with finitely many sequences, 128 of another task.
        seconds: wall-clock budget; 120 if no other budget is given either.
        steps, tokens, flops, sequential_flops: a budget of another kind instead (see
            ``nounroll.training.settings``). With ``resume``, a budget that differs from the run's own is added to it,
            for a run that is finished. With ``student`` it may be 0, if ``out`` is not set.
        seed: seed of data, weights and all random choices; 0 by default.
        out: folder in which the run is kept; by default no file is written.
        resume: continue the run in ``out`` by its recipe; train a new one if there is none (several processes need an
            existing run). Settings that are given again must be the same; the user's own cell must be given again.
        settings: any other setting of a recipe, by its dotted name: ``{"teacher.width": 256}``. Settings that are left
            out are decided for the task's data: see ``nounroll.experiments.resolve``.
        progress: show a bar on stderr, and the choice of "auto".

    Ctrl-C ends the run early and returns its current state, with a checkpoint in ``out``. A second Ctrl-C raises
    KeyboardInterrupt.

    Raises:
        ValueError: a setting, the task's data or the cell is not usable; the message names it and the reason.
    """
    if not isinstance(task, SequenceTask):
        raise ValueError(f"task is a {type(task).__name__}; it must be a nounroll.SequenceTask")
    if not isinstance(cell, str | nn.Module):
        raise ValueError(f"cell is a {type(cell).__name__}; it must be a kind such as 'mlp', or a torch.nn.Module")
    kind, own_cell = (cell, None) if isinstance(cell, str) else (None, cell)
    budget: dict[str, float | None] = dict(zip(BUDGETS, (seconds, steps, tokens, flops, sequential_flops), strict=True))
    folder = Path(out) if out else None
    if resume and folder is None:
        raise ValueError("resume is True and out is not set; give the folder of the run to go on with")
    usual = usual_length(task) if length is None else length
    start = with_rehearsal(_begun_with(student, teacher, new, cell), rehearse)
    spent = start is not None and bool(start.student) and 0 in budget.values()
    if spent and folder is None:  # a budget of 0 trains nothing: plan one step, then restore 0
        budget = {name: 1 if value == 0 else value for name, value in budget.items()}
    recipe = plan(method, kind, length=usual, budget=budget, seed=seed or 0, settings=settings)
    if spent:
        recipe = recipe.changed({"training.budget": Budget(recipe.training.budget.kind, 0)})
    if start is not None:
        recipe, own_cell = start.applied(recipe), own_cell or start.cell
    if folder is not None and launched()[1] == 1:  # else one process sees another's new files
        resume = resume and (folder / "recipe.yaml").exists()
    if folder is not None and resume:
        left_out = {"task", *(("length",) if length is None else ()), *(("training.seed",) if seed is None else ())}
        if not any(value is not None for value in budget.values()):
            left_out.add("training.seconds")
        names = set(recipe.given or ()) - left_out | set(settings or {})
        recipe = resumed(recipe, names, folder, own_cell)
    with stop_on_interrupt() as stop:
        run = train(recipe, task, own_cell, start, folder=folder, resume=resume, progress=progress, stop=stop)
        if not run.finished:
            _say_stopped(run)
    return run


def _begun_with(
    student: Student | str | Path | None,
    teacher: Teacher | str | Path | None,
    new: str | Sequence[str],
    cell: str | nn.Module,
) -> Start | None:
    """Open the student and teacher given to ``fit``; None if neither is given.

    Raises:
        ValueError: they cannot be a warm start, or a cell is given together with a student.
    """
    if student is None and teacher is None and not new:
        return None
    if student is not None and cell != AUTO:
        name = repr(cell) if isinstance(cell, str) else f"a {type(cell).__name__}"
        raise ValueError(f"cell is {name} and student is given, which has a cell of its own; leave one of them out")
    return open_start(student, teacher, new)


def _say_stopped(run: Run) -> None:
    """Say on stderr that Ctrl-C stopped the run, and how to resume it."""
    way = "nothing of it is kept, as out is not set" if run.folder is None else f"go on with: {way_on(run.folder)}"
    if speaks():
        print(f"nounroll: stopped after {run.metrics['steps']:,} steps; {way}", file=sys.stderr, flush=True)


def usual_length(task: SequenceTask) -> int:
    """Return T for a task where the user gives none."""
    longest = task.max_length or _LENGTH
    return longest if task.size is not None else min(longest, _LENGTH)


def plan(
    method: str,
    cell: str | None,
    *,
    length: int,
    budget: Mapping[str, float | None],
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Recipe:
    """Build the recipe by which ``fit`` trains on the user's own task, with the user's own cell if ``cell`` is None.

    ``budget`` uses the names of ``BUDGETS``; 120 seconds if all are None.

    Raises:
        ValueError: a setting is not usable; the message names it and the reason.
    """
    tree: dict[str, Any] = {"task": {"kind": CUSTOM}, "length": length, "method": method, "training": {"seed": seed}}
    if cell is not None:
        tree["cell"] = {"kind": cell}
    tree["training"] |= {name: value for name, value in budget.items() if value is not None} or {"seconds": 120.0}
    return parse(tree, settings or {})


def train(
    recipe: Recipe,
    task: SequenceTask | None = None,
    cell: nn.Module | None = None,
    start: Start | None = None,
    *,
    folder: Path | None = None,
    resume: bool = False,
    force: bool = False,
    progress: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train by a recipe, or resume an interrupted run.

    Args:
        recipe: all settings.
        task: the user's own object, in place of the recipe's task.
        cell: the user's own module, in place of the recipe's cell.
        start: initial weights of a new run, applied to the recipe. For a resumed run: the start that it began with, if
            that is given again.
        folder: where the run is kept; None keeps nothing. Of several processes (``torchrun``), rank 0 writes it.
        resume: continue from the newest checkpoint in ``folder``, or from the start if there is no checkpoint yet.
        force: resume although the recipe or the data has changed.
        progress: show a bar on stderr.
        stop: called after each step; True ends the run with a checkpoint.

    Raises:
        ValueError: the data, the cell or the folder is not usable, or the run needs more memory than there is.
        TrainingError: the losses stopped being finite.
    """
    begun = begin(recipe, task, cell, start, folder=folder, resume=resume)
    folder, resolved, chosen, finished = begun.folder, begun.resolved, None, False
    with ExitStack() as stack:
        if begun.is_open:
            begun.enter(stack)
            loop, resolved, chosen = choose(
                recipe,
                resolved,
                begun.task,
                cell,
                folder=folder,
                resume=resume,
                force=force,
                progress=progress,
                stop=stop,
                start=begun.start,
            )
            if chosen is not None:
                finished = loop.run(stop) == "finished"
        else:
            check_memory(resolved.recipe, begun.task, cell, kept=folder is not None)
            loop = make_loop(resolved, begun.task, cell, folder=folder, progress=progress, start=begun.start)
            loop.engine.by_first(lambda: begun.enter(stack))
            if resume:
                loop.load(force)
                chosen = Chosen.read(folder)
                if folder is not None:
                    drop_trials(folder)
            finished = loop.run(stop) == "finished"
        return _handed_over(loop, resolved, cell, begun, chosen, finished)


def _handed_over(
    loop: Loop,
    resolved: Resolved,
    cell: nn.Module | None,
    begun: Beginning,
    chosen: Chosen | None,
    finished: bool,
) -> Run:
    """Finish a run: measure it, write it, and return unsharded models on the CPU in evaluation mode."""
    model, teacher, folder = loop.student, loop.teacher, begun.folder
    if loop.engine.sharded:
        model, teacher = build(resolved.recipe, resolved.facts, None)
        if isinstance(model, Student) and has_low_rank(loop.student):
            add_low_rank(model.cell)
        loop.state.hand_over(model, teacher)
    for part in (model, teacher):
        if part is not None:
            part.to("cpu").eval()
    merge_low_rank(model)
    if cell is not None and isinstance(model, Student) and model.cell is not cell:  # trials use copies of the cell
        cell.load_state_dict(model.cell.state_dict())
        model.cell = cell.eval()
    if isinstance(model, Student):
        model.trained_on = begun.kept
    metrics = _final_metrics(loop, model, teacher)
    if folder is not None:
        model.save_pretrained(folder / ("student" if isinstance(model, Student) else TRANSFORMER))
        write_json(folder / "metrics.json", metrics)
    return Run(resolved.recipe, model, metrics, loop.history, teacher, begun.task, chosen, folder, finished)


def _final_metrics(loop: Loop, model: Student | CausalTransformer, teacher: Teacher | None) -> dict[str, float]:
    """Compute the final metrics, on held-out sequences that no choice has used, and the cost of training."""
    labels = teacher.memories if teacher else None
    metrics: dict[str, float] = evaluate_task(loop.task, model, loop.observer.test_batches(), labels)
    if isinstance(method := loop.chain[-1].method, Adapt):
        metrics |= _forgotten(method, model, loop)
    metrics |= {name: loop.counters.spent(name) for name in ("steps", "tokens", *COSTS)}
    metrics["seconds"] = round(loop.counters.spent("seconds"), 2)
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _forgotten(method: Adapt, model: Student | CausalTransformer, loop: Loop) -> dict[str, float]:
    """Measure what an adapted student has forgotten, on the test part of its rehearsal task or else of its new task."""
    assert isinstance(model, Student)
    task = method.rehearsal or loop.task
    length = min(loop.length, task.max_length or loop.length)
    batches = validation_batches(task, 0, length, loop.settings.seed, stream="test")
    same = method.keeps_readout and method.rehearsal is not None
    return forgetting(method.old.cpu(), model, batches, same_readout=same)


def _figures(record: Mapping[str, Any]) -> dict[str, float]:
    """Select the metrics in a record of the history."""
    names = ("loss", "bits", "accuracy", "rmse", "step", "tokens", *COSTS, "seconds")
    found = {name: record[name] for name in names if name in record and math.isfinite(record[name])}
    return {"steps" if name == "step" else name: value for name, value in found.items()}


def copy_cell(cell: str | nn.Module) -> str | nn.Module:
    """Copy a cell for one more run: training changes a module in place, so each run gets its own copy."""
    return cell if isinstance(cell, str) else copy.deepcopy(cell)


__all__ = ["CUSTOM", "Run", "copy_cell", "fit", "plan", "train", "usual_length"]
