"""Size of a run, counted on a model that is never built: torch's meta device has shapes alone."""

from dataclasses import dataclass, replace

from nounroll.core.modes import on_meta
from nounroll.core.ranges import more_than
from nounroll.data.task import SequenceTask
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.resolve import resolve
from nounroll.methods import DMT, SMT
from nounroll.methods.cost import step_cost
from nounroll.models.student import Student
from nounroll.teacher import build_teacher

_FLOAT = 4  # bytes
_COPIES = 4  # of each weight while it is trained: the weight, its gradient, AdamW's two moments


@dataclass(frozen=True)
class Size:
    """Counted for float32.

    Attributes:
        student, teacher: parameters.
        smt, dmt: FLOPs of a time step of one sequence, forward and backward; see ``nounroll.methods.cost``.
        training_bytes: weights, gradients and the optimiser's state of both, in every process.
        student_bytes: the weights of the student: all that is deployed.
        memory_bytes: one memory, which is all that a deployed student keeps of what it has read.
        label_bytes: a sequence's T + 1 labels.
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
        """A run of SMT and DMT for equally many time steps.

        Args:
            tokens_per_parameter: time steps of both together, over the student's parameters.
            flops_per_second: what the machines at hand reach in training, all together.

        Returns:
            tokens; flops; seconds.

        Raises:
            ValueError: a figure is not more than 0.
        """
        more_than("tokens_per_parameter", tokens_per_parameter, 0)
        more_than("flops_per_second", flops_per_second, 0)
        tokens = tokens_per_parameter * self.student
        flops = tokens * (self.smt + self.dmt) / 2
        return {"tokens": tokens, "flops": flops, "seconds": flops / flops_per_second}


def size(recipe: Recipe, task: SequenceTask) -> Size:
    """The size of a recipe.

    The decoder and the spread of memories, whose cost does not grow with T, are left out of the FLOPs.

    Args:
        recipe: all settings; its task is passed over.
        task: whose spaces and scored steps count.
    """
    settled = resolve(recipe, task)
    recipe, facts = settled.recipe, settled.facts
    with on_meta():
        student = Student(task.inputs, task.targets, recipe.cell, readout_width=recipe.readout_width)
        teacher = build_teacher(recipe.teacher, task.inputs, task.targets, student.cell)
    teacher.encoder.all_at_once = False  # labels on demand depend on values, and here are shapes alone
    smt = SMT(student, teacher, replace(recipe.smt, decoding=0.0, uniformity=0.0))
    dmt = DMT(student, teacher, replace(recipe.dmt, decoding=0.0, dynamics=recipe.dmt.dynamics or 1.0), facts.knowable)
    of_student, of_teacher = (sum(p.numel() for p in part.parameters()) for part in (student, teacher))
    memory = _FLOAT * student.memory_shape[0] * student.memory_shape[1]
    return Size(
        student=of_student,
        teacher=of_teacher,
        smt=step_cost(smt, task, recipe.length, 1)["flops"],
        dmt=step_cost(dmt, task, recipe.length, 1)["flops"],
        training_bytes=_COPIES * _FLOAT * (of_student + of_teacher),
        student_bytes=_FLOAT * of_student,
        memory_bytes=memory,
        label_bytes=memory * (recipe.length + 1),
    )
