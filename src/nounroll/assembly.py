"""What a recipe is made of: the network, its teacher, the methods that train them, and the loop that walks these."""

from pathlib import Path

import torch
from torch import nn

from nounroll.batch import Categorical
from nounroll.data.task import SequenceTask
from nounroll.methods import BPTT, DMT, SMT, TBPTT, TRANSFORMER, TransformerMethod, parse_chain
from nounroll.methods.base import Method
from nounroll.recipe import Recipe
from nounroll.resolve import Resolved
from nounroll.student import Student
from nounroll.taken_teacher import take_teacher
from nounroll.teacher import Teacher, build_teacher
from nounroll.teacher.pretrained import check_vocabulary, model_folder
from nounroll.training.loop import Loop
from nounroll.training.pace import Link
from nounroll.transformer import CausalTransformer


def build(
    recipe: Recipe, task: SequenceTask, cell: nn.Module | None
) -> tuple[Student | CausalTransformer, Teacher | None]:
    """What is to be trained, and the teacher where the method has one."""
    chain = parse_chain(recipe.method)
    if TRANSFORMER in chain:
        return CausalTransformer(task.inputs, task.targets, recipe.teacher), None
    student = Student(task.inputs, task.targets, cell or recipe.cell, readout_width=recipe.readout_width)
    if "smt" not in chain:
        return student, None
    if recipe.teacher.kind == "transformers":
        check_vocabulary(model_folder(recipe.teacher.path), task.inputs, getattr(task, "tokenizer", None))
    teacher = build_teacher(recipe.teacher, task.inputs, task.targets, student.cell, recompute=bool(recipe.smt.chunk))
    teacher.check_length(recipe.length)
    return student, teacher


def links(recipe: Recipe, model: Student | CausalTransformer, teacher: Teacher | None, knowable: float) -> list[Link]:
    """The methods of a recipe's chain, over these parts; ``knowable`` is that of the task."""
    if isinstance(model, CausalTransformer):
        return [Link(TRANSFORMER, TransformerMethod(model), 1.0, 1.0)]
    shares = {"smt": recipe.smt.share, "dmt": recipe.dmt.share, "tbptt": recipe.tbptt.share, "bptt": 1.0}
    found = []
    for name in parse_chain(recipe.method):
        method = _method(name, recipe, model, teacher, knowable)
        rate = recipe.dmt.learning_rate if name == "dmt" else 1.0
        found.append(Link(name, method, shares[name], rate))
    return found


def _method(name: str, recipe: Recipe, student: Student, teacher: Teacher | None, knowable: float) -> Method:
    if name == "bptt":
        return BPTT(student)
    if name == "tbptt":
        return TBPTT(student, recipe.tbptt)
    assert teacher is not None
    return SMT(student, teacher, recipe.smt) if name == "smt" else DMT(student, teacher, recipe.dmt, knowable)


def make_loop(
    resolved: Resolved,
    task: SequenceTask,
    cell: nn.Module | None,
    *,
    folder: Path | None,
    progress: bool = False,
) -> Loop:
    """The loop of a run, with fresh weights. Nothing is read or written yet.

    Raises:
        ValueError: the device is not there, or ``smt.teacher`` cannot be taken.
    """
    recipe, facts = resolved.recipe, resolved.facts
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        model, teacher = build(recipe, task, cell)
    if recipe.smt.teacher and teacher is not None:
        take_teacher(recipe, model, teacher)
    return Loop(
        task=task,
        stages=resolved.stages,
        student=model,
        teacher=teacher,
        chain=links(recipe, model, teacher, facts.knowable),
        settings=recipe.training,
        knowable=facts.knowable,
        by_errors=facts.at_end and isinstance(task.targets, Categorical),
        folder=folder,
        recipe=recipe.to_dict(),
        progress=progress,
    )
