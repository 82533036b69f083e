"""Backpropagation through time: the baseline for SMT, and a post-training step."""

import torch
from torch import Tensor

from nounroll.core.batch import Batch
from nounroll.methods.base import Method, State
from nounroll.models.student import Student
from nounroll.objectives.readout import readout_loss


class BPTT(Method):
    """Negative log-likelihood at every scored step of a rollout from m_∅, which is learnt too.

    Gradients go back to the start of every sequence; ``tbptt`` truncates them. The method has no settings.
    """

    summary = "BPTT trained it by gradients through the unrolled sequence."

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(
        self, batch: Batch, state: State, generator: torch.Generator, progress: float
    ) -> tuple[dict[str, Tensor], State]:
        student = self.student
        features, _ = student.features(batch.inputs, resets=batch.resets)
        loss = readout_loss(student.head, student.targets, features, batch.targets, batch.mask)
        return {"loss": loss, "readout": loss}, {}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return per_token * length
