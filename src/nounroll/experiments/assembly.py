"""Assembly of a run from its recipe: the network, the teacher, the methods that train them, and the loop."""

import copy
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from nounroll.core.batch import Space
from nounroll.core.modes import drawing_from
from nounroll.data.task import SequenceTask
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.rehearsal import adaptation
from nounroll.experiments.resolve import Resolved
from nounroll.experiments.start import Start
from nounroll.experiments.taken_teacher import take_teacher
from nounroll.methods import ADAPT, TRANSFORMER, TransformerMethod, is_taught, method_class, parse_chain
from nounroll.methods.base import Parts
from nounroll.models.student import Student
from nounroll.rollout.transformer import CausalTransformer
from nounroll.teacher import Teacher, build_teacher
from nounroll.teacher.pretrained import check_vocabulary, model_folder
from nounroll.training.loop import Loop
from nounroll.training.pace import Link


@runtime_checkable
class Spaces(Protocol):
    """Protocol of an object with input and target spaces: a task, or the facts about a task."""

    @property
    def inputs(self) -> Space: ...
    @property
    def targets(self) -> Space: ...


def build(recipe: Recipe, spaces: Spaces, cell: nn.Module | None) -> tuple[Student | CausalTransformer, Teacher | None]:
    """Build the model to train, and the teacher if the method has one."""
    chain = parse_chain(recipe.method)
    if TRANSFORMER in chain:
        return CausalTransformer(spaces.inputs, spaces.targets, recipe.teacher), None
    student = Student(spaces.inputs, spaces.targets, cell or recipe.cell, readout_width=recipe.readout_width)
    if not is_taught(recipe.method):
        return student, None
    if recipe.teacher.kind == "transformers":
        check_vocabulary(model_folder(recipe.teacher.path), spaces.inputs, getattr(spaces, "tokenizer", None))
    teacher = build_teacher(
        recipe.teacher, spaces.inputs, spaces.targets, student.cell, recompute=bool(recipe.smt.chunk)
    )
    teacher.check_length(recipe.length)
    return student, teacher


def links(
    recipe: Recipe,
    model: Student | CausalTransformer,
    teacher: Teacher | None,
    knowable: float,
    *,
    stream: bool = False,
) -> list[Link]:
    """Build the methods of a recipe's chain from these parts; ``knowable`` and ``stream`` describe the task."""
    if isinstance(model, CausalTransformer):
        return [Link(TRANSFORMER, TransformerMethod(model), 1.0, 1.0)]
    found = []
    for name in parse_chain(recipe.method):
        kind = method_class(name)
        settings = getattr(recipe, name, None) if kind.has_settings else None
        share, rate = getattr(settings, "share", 1.0), getattr(settings, "learning_rate", 1.0)
        parts = Parts(model, teacher, settings, knowable, stream, recipe.smt.chunk)
        found.append(Link(name, kind.build(parts), share, rate))
    return found


def make_loop(
    resolved: Resolved,
    task: SequenceTask,
    cell: nn.Module | None,
    *,
    folder: Path | None,
    progress: bool = False,
    start: Start | None = None,
) -> Loop:
    """Build the loop of a run, with fresh weights or the weights of ``start``. No file is read or written yet.

    Raises:
        ValueError: the device is not available, or ``smt.teacher`` or ``start`` does not fit.
    """
    recipe, facts = resolved.recipe, resolved.facts
    if recipe.method == ADAPT and recipe.adapt.update == "low-rank":
        cell = copy.deepcopy(cell)  # the user's own never has parts that are not its own
    with drawing_from(torch.Generator().manual_seed(recipe.training.seed)):
        model, teacher = build(recipe, facts, cell)
    if recipe.smt.teacher and teacher is not None:
        take_teacher(recipe, model, teacher)
    if start is not None:
        start.put(model, teacher)
    if recipe.method == ADAPT and start is not None and isinstance(model, Student):
        chain = [Link(ADAPT, adaptation(recipe, start, model, task), 1.0, 1.0)]
    else:
        chain = links(recipe, model, teacher, facts.knowable, stream=task.stream)
    return Loop(
        task=task,
        stages=resolved.stages,
        student=model,
        teacher=teacher,
        chain=chain,
        settings=recipe.training,
        knowable=facts.knowable,
        by_errors=facts.by_errors,
        folder=folder,
        recipe=recipe.to_dict(),
        progress=progress,
        warm=start is not None and bool(start.student),
    )
