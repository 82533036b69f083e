"""Drift of a session: the teacher's memory of the same inputs, and the student's distance from it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nounroll.analysis.drift import drift
from nounroll.data.task import SequenceTask, draw
from nounroll.models.student import Student
from nounroll.objectives.dynamics import dynamics
from nounroll.teacher import Teacher

_SEQUENCES = 32  # held-out sequences, for the variance of the teacher's memories


@dataclass(frozen=True)
class Verdict:
    """Judgement of one memory.

    Attributes:
        label: the teacher's memory of the same inputs, (K, d).
        drift: MSE(m̂_t, m_t) / Var(m), see ``nounroll.analysis.drift``.
    """

    label: Float[Tensor, "K d"]
    drift: float


@dataclass(frozen=True)
class Judge:
    """Judge of the memories of sessions, by the student's teacher.

    Args:
        teacher: the teacher of the served student.
        length: time steps of its training; longer sessions are not judged.
        variance: Var(m) of its memories.
        thread: runs the teacher, so that no step waits for it.
    """

    teacher: Teacher
    length: int
    variance: float
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "judge"), repr=False)

    @classmethod
    def of(cls, teacher: Teacher, student: Student, task: SequenceTask, length: int) -> "Judge":
        """Create a judge; measure the variance on held-out sequences.

        Raises:
            ValueError: all memories of the teacher are the same, so drift is undefined.
        """
        inputs = draw(task.validation(), _SEQUENCES, length, 0, "judge").inputs
        with torch.no_grad():
            labels = teacher.memories(inputs)
            variance = drift(student.rollout(inputs), labels).variance
        if not variance > 0:
            raise ValueError("the teacher's memories are all the same; there is no drift from them")
        return cls(teacher, length, variance)

    @torch.inference_mode()
    def verdict(self, memory: Float[Tensor, "K d"], inputs: Shaped[Tensor, "T *x"]) -> Verdict:
        """Judge the memory that a student has after these inputs."""
        last = torch.tensor([[len(inputs)]])
        label = self.teacher.memories(inputs[None], last)[0, 0]
        return Verdict(label, float(dynamics(memory, label)) / self.variance)

    async def ask(self, memory: Float[Tensor, "K d"], inputs: Shaped[Tensor, "T *x"]) -> Verdict:
        """Run ``verdict`` in the judge's thread."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, self.verdict, memory, inputs)
