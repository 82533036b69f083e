"""Preparation of a run: its data, resolved settings, initial weights and folder."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from nounroll import data
from nounroll.cells.base import check_cell
from nounroll.core.batch import Space
from nounroll.core.machine import launched
from nounroll.data.kept import keep
from nounroll.data.task import SequenceTask, tell_cut
from nounroll.experiments.consent import check as check_consent
from nounroll.experiments.consent import remember
from nounroll.experiments.facts import Facts, look
from nounroll.experiments.footprint import check_length
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.rehearsal import REHEARSED, check_adaptable, rehearsed, reopened
from nounroll.experiments.resolve import Resolved, resolve
from nounroll.experiments.run_folder import CUSTOM, check_free, held, read_kept, way_on, write, write_budget, write_kept
from nounroll.experiments.start import Start, drop_start
from nounroll.methods import TRANSFORMER, check_taught
from nounroll.models.student import check_no_student


@dataclass(frozen=True)
class Beginning:
    """A run before its first step.

    Attributes:
        recipe: the recipe as the user gave it.
        resolved: the recipe with every setting decided, and the facts that were measured on the data.
        task: source of the sequences.
        cell: the user's own module, used in place of the recipe's cell.
        start: weights of a warm start; None if all weights are new.
        kept: the facts about the data that the run keeps.
        folder: folder of the run, or None. It is also None in every process but rank 0.
        resume: the run continues from the contents of the folder.
    """

    recipe: Recipe
    resolved: Resolved
    task: SequenceTask
    cell: nn.Module | None
    start: Start | None
    kept: dict[str, Any]
    folder: Path | None
    resume: bool

    @property
    def is_open(self) -> bool:
        """True if trials must choose the method or the cell."""
        return self.resolved.recipe.is_open(self.cell)

    def enter(self, stack: ExitStack) -> None:
        """Lock the run's folder until ``stack`` exits, and write the first files of a new run."""
        folder, facts = self.folder, self.resolved.facts
        if folder is None:
            return
        # Settings that depend on an open method are decided together with it.
        text = self.recipe.kept_in(folder).given_to_yaml() if self.is_open else self.resolved.to_yaml(folder)
        stack.enter_context(held(folder))
        if not self.resume:
            check_free(folder)
            drop_start(folder)
            if self.start is not None:
                self.start.write(folder)
            write(folder / "recipe.yaml", text)
            write_kept(folder, self.kept, facts.inputs, facts.targets)
        path = rehearsed(self.start)
        remember(self.recipe, folder, {REHEARSED: path} if path else {})

    def keep_budget(self) -> None:
        """Write the budget of a run that is resumed with more, once its checkpoint and its data agree."""
        if self.folder is not None:
            write_budget(self.folder, self.recipe)


def begin(
    recipe: Recipe,
    task: SequenceTask | None,
    cell: nn.Module | None,
    start: Start | None,
    *,
    folder: Path | None,
    resume: bool,
) -> Beginning:
    """Check the arguments of a run, measure its data, and decide the open settings. No file is written.

    Raises:
        ValueError: the recipe, the data, the cell or the folder is not usable.
    """
    before = begun = None
    if resume and folder is not None:
        before, begun = read_kept(folder), Start.read(folder, start.cell if start else None)
        if start is not None:
            start.check_same(begun, folder)
    if resume:
        start = reopened(begun, start, None if recipe.task.kind == CUSTOM else folder)  # Python needs no consent
    _check_begun(recipe, start)
    task = _task(recipe, task, folder, resume=resume)
    if cell is not None:
        _check_own_cell(cell, recipe, task)
    check_length(recipe, task)
    tell_cut(task, recipe.length)
    facts = look(task, recipe.length, recipe.training.seed)
    kept = before[0] if before else keep(task, recipe.task.kind)
    if scale := before or _scale_of_teacher(recipe):  # of the run that is resumed, or of smt.teacher
        same = before is not None and before[0].get("kind") == recipe.task.kind  # the checkpoint refuses other kinds
        facts = _with_scale(facts, *scale[1:], must_fit=same)
    if start is not None:
        facts = start.in_its_scale(facts, kept)
    place = None if launched()[0] else folder  # rank 0 writes for all processes
    return Beginning(recipe, resolve(recipe, task, facts), task, cell, start, kept, place, resume)


def _check_begun(recipe: Recipe, start: Start | None) -> None:
    """Refuse a method that needs missing weights, and a budget of 0 if all weights are new."""
    check_adaptable(recipe, start)
    if start is None or not start.teacher:
        check_taught(recipe.method)
    if not recipe.training.budget.amount and (start is None or not start.student):
        raise ValueError(f"training.{recipe.training.budget.kind} is 0; it must be more than 0")


def _task(recipe: Recipe, task: SequenceTask | None, folder: Path | None, *, resume: bool) -> SequenceTask:
    """Return the given task, or build the recipe's."""
    if task is None and recipe.task.kind == CUSTOM:
        way = way_on(folder) if resume and folder is not None else "nounroll.fit(task)"
        raise ValueError(f"task.kind is {CUSTOM}, a task of your own, which is not in the recipe; in Python: {way}")
    check_consent(recipe)
    return task or data.build(recipe.task.kind, recipe.task.options)


def _scale_of_teacher(recipe: Recipe) -> tuple[dict[str, Any], Space, Space] | None:
    """Read what the taken teacher's run keeps of its data: the labels hold for inputs of that run's scale."""
    return read_kept(Path(recipe.smt.teacher)) if recipe.smt.teacher else None


def _with_scale(facts: Facts, inputs: Space, targets: Space, *, must_fit: bool) -> Facts:
    """Give facts the scale of other data of the same kind; return them unchanged if the kind differs.

    Raises:
        ValueError: the kind differs although ``must_fit`` is set.
    """
    if (facts.inputs, facts.targets) == (inputs, targets):
        return replace(facts, inputs=facts.inputs.scaled_as(inputs), targets=facts.targets.scaled_as(targets))
    if must_fit:
        raise ValueError(
            f"the data differs: the run began with inputs {inputs} and targets {targets}, and now they are"
            f" {facts.inputs} and {facts.targets}; put back what it was trained with, or train a new run"
        )
    return facts


def _check_own_cell(cell: nn.Module, recipe: Recipe, task: SequenceTask) -> None:
    check_no_student(cell)
    if recipe.training.shard:
        raise ValueError("training.shard is True; it needs a cell that can be built again, give its kind")
    if recipe.method == TRANSFORMER:
        raise ValueError(f"cell is a {type(cell).__name__}; the method {TRANSFORMER} has no cell")
    check_cell(cell, task.inputs, task.inputs.enter(task.inputs.zeros(2)))
