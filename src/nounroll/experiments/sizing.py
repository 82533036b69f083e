"""Size of a run, counted on torch's meta device, where the model has shapes but no weights."""

from dataclasses import dataclass, replace

import torch

from nounroll.core.batch import Batch
from nounroll.core.modes import on_meta
from nounroll.core.ranges import more_than
from nounroll.data.task import SequenceTask, batch_of_length
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.resolve import resolve
from nounroll.methods import DMT, SMT
from nounroll.methods.cost import step_cost
from nounroll.models.student import Student
from nounroll.teacher import build_teacher

_FLOAT = 4  # bytes
_COPIES = 4  # values per weight during training: the weight, its gradient, AdamW's two moments


@dataclass(frozen=True)
class Size:
    """Parameters, FLOPs and bytes of a run in float32.

    Attributes:
        student, teacher: number of parameters.
        smt, dmt: FLOPs of a time step of one sequence, forward and backward; see ``nounroll.methods.cost``.
        training_bytes: weights, gradients and optimiser state of student and teacher, in every process.
        student_bytes: the weights of the student; only these are deployed.
        memory_bytes: one memory; a deployed student keeps nothing else of its past inputs.
        label_bytes: the T + 1 labels of a sequence.
    """

    student: int
    teacher: int
    smt: float
    dmt: float
    training_bytes: int
    student_bytes: int
    memory_bytes: int
    label_bytes: int

    def plan(self, tokens_per_parameter: float, flops_per_second: float) -> dict[str, float]:
        """Plan a run in which SMT and DMT train on equally many time steps.

        Args:
            tokens_per_parameter: time steps of both methods together, divided by the student's parameters.
            flops_per_second: training throughput of all available machines together.

        Returns:
            tokens; flops; seconds.

        Raises:
            ValueError: an argument is not positive.
        """
        more_than("tokens_per_parameter", tokens_per_parameter, 0)
        more_than("flops_per_second", flops_per_second, 0)
        tokens = tokens_per_parameter * self.student
        flops = tokens * (self.smt + self.dmt) / 2
        return {"tokens": tokens, "flops": flops, "seconds": flops / flops_per_second}


def size(recipe: Recipe, task: SequenceTask) -> Size:
    """Compute the size of a recipe's run.

    The FLOPs exclude the decoder and the spread of memories, whose cost does not grow with T. Rows with resets are
    counted as if they had none; a teacher reads the shorter parts between them for a little less.

    Args:
        recipe: all settings; its task is ignored.
        task: source of the spaces and scored steps.
    """
    settled = resolve(recipe, task)
    recipe, facts = settled.recipe, settled.facts
    with on_meta():
        student = Student(task.inputs, task.targets, recipe.cell, readout_width=recipe.readout_width)
        teacher = build_teacher(recipe.teacher, task.inputs, task.targets, student.cell)
    teacher.encoder.all_at_once = False  # labels on demand depend on values, but the meta device has only shapes
    smt = SMT(student, teacher, replace(recipe.smt, decoding=0.0, uniformity=0.0))
    dmt = DMT(student, teacher, replace(recipe.dmt, decoding=0.0, dynamics=recipe.dmt.dynamics or 1.0), facts.knowable)
    of_student, of_teacher = (sum(p.numel() for p in part.parameters()) for part in (student, teacher))
    memory = _FLOAT * student.memory_shape[0] * student.memory_shape[1]
    return Size(
        student=of_student,
        teacher=of_teacher,
        smt=step_cost(smt, _WithoutResets(task), recipe.length, 1)["flops"],
        dmt=step_cost(dmt, _WithoutResets(task), recipe.length, 1)["flops"],
        training_bytes=_COPIES * _FLOAT * (of_student + of_teacher),
        student_bytes=_FLOAT * of_student,
        memory_bytes=memory,
        label_bytes=memory * (recipe.length + 1),
    )


class _WithoutResets(SequenceTask):
    """Batches of a task without their resets, at which the meta device cannot split rows."""

    def __init__(self, task: SequenceTask) -> None:
        self.task, self.inputs, self.targets = task, task.inputs, task.targets

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        return replace(batch_of_length(self.task, batch_size, length), resets=None)
