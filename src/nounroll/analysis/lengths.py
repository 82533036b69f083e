"""Lengths beyond training: the student and its teacher at T, 2 T, 4 T and 8 T."""

from dataclasses import dataclass

from nounroll.data.task import SequenceTask, draw
from nounroll.models.student import Student
from nounroll.rollout.evaluate import evaluate, evaluate_teacher, validation_batches
from nounroll.teacher import Teacher

_FACTORS = (1, 2, 4, 8)
_LEAST = 32  # sequences, where as many were asked for


@dataclass(frozen=True)
class AtLength:
    """Both at one length.

    Attributes:
        length: T, in time steps.
        sequences: held-out ones; fewer as they get longer.
        student: loss, bits, and accuracy or rmse, of its rollout from m_∅.
        teacher: the same of the student's readout on the teacher's memories; None where there is none, or where it
            cannot read so much.
    """

    length: int
    sequences: int
    student: dict[str, float]
    teacher: dict[str, float] | None


def by_length(
    student: Student, teacher: Teacher | None, task: SequenceTask, length: int, sequences: int, seed: int
) -> list[AtLength]:
    """T, 2 T, 4 T and 8 T, as far as the task has sequences of that length (arXiv 2606.06479, length generalisation).

    Where a teacher's attention meets distances that it never saw, the student's step is the same at any time.
    """
    found = []
    for factor in _FACTORS:
        span, count = factor * length, max(min(_LEAST, sequences), sequences // factor)
        if factor > 1 and not _gives(task, span, seed):
            break
        batches = validation_batches(task, count, span, seed, stream="test")
        reads = teacher is not None and span <= (teacher.longest or span)
        beside = evaluate_teacher(student, batches, teacher.memories) if teacher is not None and reads else None
        found.append(AtLength(span, count, evaluate(student, batches), beside))
    return found


def _gives(task: SequenceTask, length: int, seed: int) -> bool:
    """Return whether a task has sequences of a length; tasks refuse in different ways."""
    try:
        draw(task.validation(), 1, length, seed, "trial")
    except Exception:
        return False
    return True
