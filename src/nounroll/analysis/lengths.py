"""Length generalisation: figures of student and teacher at T, 2 T, 4 T and 8 T."""

from dataclasses import dataclass

from nounroll.data.task import SequenceTask, draw
from nounroll.models.student import Student
from nounroll.rollout.evaluate import evaluate, evaluate_teacher, validation_batches
from nounroll.teacher import Teacher

_FACTORS = (1, 2, 4, 8)
_LEAST = 32  # sequences, at least, if as many were requested


@dataclass(frozen=True)
class AtLength:
    """Figures of student and teacher at one length.

    Attributes:
        length: T, in time steps.
        sequences: number of held-out sequences; fewer at longer lengths.
        student: loss, bits, and accuracy or rmse of its rollout from m_∅.
        teacher: the same for the student's readout on the teacher's memories; None without a teacher, or if it cannot
            read this length.
    """

    length: int
    sequences: int
    student: dict[str, float]
    teacher: dict[str, float] | None


def by_length(
    student: Student, teacher: Teacher | None, task: SequenceTask, length: int, sequences: int, seed: int
) -> list[AtLength]:
    """Measure at T, 2 T, 4 T and 8 T, if the task has such sequences (arXiv 2606.06479, length generalisation).

    At longer lengths a teacher's attention meets distances that it never saw; the student's step does not change.
    """
    found = []
    for factor in _FACTORS:
        span, count = factor * length, max(min(_LEAST, sequences), sequences // factor)
        if factor > 1 and not _gives(task, span, seed):
            break
        batches = validation_batches(task, count, span, seed, stream="test")
        reads = teacher is not None and span <= (teacher.longest or span)
        beside = evaluate_teacher(student, batches, teacher.memories) if teacher is not None and reads else None
        count = sum(len(batch.inputs) for batch in batches)
        found.append(AtLength(span, count, evaluate(student, batches), beside))
    return found


def _gives(task: SequenceTask, length: int, seed: int) -> bool:
    """Return whether a task has sequences of a length; tasks raise different exceptions."""
    try:
        draw(task.validation(), 1, length, seed, "trial")
    except Exception:
        return False
    return True
