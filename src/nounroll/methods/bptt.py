"""Backpropagation through time: what SMT has to beat, and a post-training step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nounroll.batch import Batch
from nounroll.methods.base import Method, State
from nounroll.objectives.readout import readout_loss
from nounroll.ranges import more_than
from nounroll.student import Student


@dataclass(frozen=True, kw_only=True)
class BPTTSettings:
    """BPTT goes back to the start of every sequence; ``tbptt`` is the method that cuts gradients.

    Args:
        share: part of the run's budget, relative to the other methods of its chain.
    """

    share: float = 1.0

    def __post_init__(self) -> None:
        more_than("bptt.share", self.share, 0)


class BPTT(Method):
    """The readout's likelihood at every scored step of a rollout from m_∅, which is learnt too."""

    def __init__(self, student: Student, settings: BPTTSettings) -> None:
        super().__init__()
        self.student, self.settings = student, settings

    def forward(
        self, batch: Batch, state: State, generator: torch.Generator, progress: float
    ) -> tuple[dict[str, Tensor], State]:
        student = self.student
        features, _ = student.features(batch.inputs)
        loss = readout_loss(student.head, student.targets, features, batch.targets, batch.mask)
        return {"loss": loss, "readout": loss}, {}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return per_token * length
