"""Training of a run from its recipe, in memory or in a folder (see ``nounroll.experiments.run_folder``)."""

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nounroll.core.interrupts import stop_on_interrupt
from nounroll.core.machine import launched, speaks
from nounroll.data.task import SequenceTask
from nounroll.experiments.assembly import make_loop
from nounroll.experiments.auto import Chosen, choose, drop_trials
from nounroll.experiments.beginning import begin
from nounroll.experiments.footprint import check_memory
from nounroll.experiments.recipe import Recipe, parse
from nounroll.experiments.rehearsal import with_rehearsal
from nounroll.experiments.result import Run, hand_over
from nounroll.experiments.resumption import resumed
from nounroll.experiments.run_folder import CUSTOM, way_on
from nounroll.experiments.start import Start
from nounroll.experiments.warm_start import open_start
from nounroll.methods import AUTO
from nounroll.models.student import Student
from nounroll.teacher import Teacher
from nounroll.training.settings import BUDGETS, Budget

_LENGTH = 128  # T of a task that has no natural length


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
        raise ValueError("resume is True and out is not set; give the folder of the run to continue")
    start = with_rehearsal(_begun_with(student, teacher, new, cell), rehearse)
    usual = usual_length(task) if length is None else length
    recipe = _planned(start, folder, method, kind, length=usual, budget=budget, seed=seed or 0, settings=settings)
    if start is not None:
        own_cell = own_cell or start.cell
    if folder is not None and launched()[1] == 1:  # else one process sees another's new files
        resume = resume and (folder / "recipe.yaml").exists()
    if folder is not None and resume:
        asked = next((amount for amount in budget.values() if amount is not None), None)
        defaults = {"length": length, "training.seed": seed, "training.seconds": asked}
        left_out = {"task", *(name for name, value in defaults.items() if value is None)}
        recipe = resumed(recipe, set(recipe.given or ()) - left_out | set(settings or {}), folder, own_cell)
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
    way = "nothing of it is kept, as out is not set" if run.folder is None else f"continue with: {way_on(run.folder)}"
    if speaks():
        print(f"nounroll: stopped after {run.metrics['steps']:,} steps; {way}", file=sys.stderr, flush=True)


def usual_length(task: SequenceTask) -> int:
    """Return T for a task where the user gives none."""
    longest = task.max_length or _LENGTH
    return longest if task.size is not None else min(longest, _LENGTH)


def _planned(
    start: Start | None,
    folder: Path | None,
    method: str,
    cell: str | None,
    *,
    length: int,
    budget: Mapping[str, float | None],
    seed: int,
    settings: Mapping[str, Any] | None,
) -> Recipe:
    """Build the recipe of a call of ``fit``, with what its warm start decides."""
    spent = start is not None and bool(start.student) and 0 in budget.values()
    if spent and folder is None:  # a budget of 0 trains nothing: plan one step, then restore 0
        budget = {name: 1 if value == 0 else value for name, value in budget.items()}
    recipe = plan(method, cell, length=length, budget=budget, seed=seed, settings=settings)
    if spent:
        recipe = recipe.changed({"training.budget": Budget(recipe.training.budget.kind, 0)})
    return recipe if start is None else start.applied(recipe)


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
    if settings is not None and not isinstance(settings, Mapping):
        raise ValueError(
            f"settings is {settings!r}; it must be a dict by dotted names, such as {{'teacher.width': 256}}"
        )
    return parse(tree, settings or {})


@torch.inference_mode(False)
@torch.enable_grad()  # a notebook may have switched gradients off
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
    folder, resolved, chosen, is_ready = begun.folder, begun.resolved, None, True
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
            is_ready = chosen is not None
        else:
            check_memory(resolved.recipe, begun.task, cell, kept=folder is not None)
            loop = make_loop(resolved, begun.task, cell, folder=folder, progress=progress, start=begun.start)
            loop.engine.by_first(lambda: begun.enter(stack))
            if resume:
                loop.load(force)
                loop.engine.by_first(begun.keep_budget)
                chosen = Chosen.read(folder)
                if folder is not None:
                    drop_trials(folder)
        finished = is_ready and loop.run(stop) == "finished"
        return hand_over(loop, resolved, cell, begun, chosen, finished)


def copy_cell(cell: str | nn.Module) -> str | nn.Module:
    """Copy a cell for one more run: training changes a module in place, so each run gets its own copy."""
    return cell if isinstance(cell, str) else copy.deepcopy(cell)


__all__ = ["CUSTOM", "Run", "copy_cell", "fit", "plan", "train", "usual_length"]
