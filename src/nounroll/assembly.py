"""What a recipe is made of: the network, its teacher, and the methods that train them."""

from torch import nn

from nounroll.data.task import SequenceTask
from nounroll.methods import BPTT, DMT, SMT, TRANSFORMER, TransformerMethod, parse_chain
from nounroll.methods.base import Method
from nounroll.recipe import Recipe
from nounroll.student import Student
from nounroll.teacher import Teacher, build_teacher
from nounroll.training.loop import Link
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
    return student, build_teacher(recipe.teacher, task.inputs, task.targets, student.cell)


def link(name: str, recipe: Recipe, model: Student | CausalTransformer, teacher: Teacher | None) -> Link:
    """A method of the recipe's chain, over these parts."""
    if isinstance(model, CausalTransformer):
        return Link(name, TransformerMethod(model), 1.0, 1.0)
    student, settings = model, getattr(recipe, name)
    method: Method
    if name == "bptt":
        method = BPTT(student, settings)
    else:
        assert teacher is not None
        method = SMT(student, teacher, settings) if name == "smt" else DMT(student, teacher, settings)
    return Link(name, method, settings.share, settings.learning_rate)
