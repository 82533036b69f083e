"""Backpropagation through time: what SMT has to beat, and a post-training step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nounroll.batch import Batch
from nounroll.methods.base import Method
from nounroll.objectives.readout import masked_mean, negative_log_likelihood
from nounroll.ranges import at_least, more_than
from nounroll.rollout.windows import cut_rollout
from nounroll.student import Student


@dataclass(frozen=True, kw_only=True)
class BPTTSettings:
    """How far gradients go back.

    Args:
        truncation: cut the gradient every so many steps (Williams & Peng 1990); None goes back to the start.
        share: part of the run's budget, relative to the other methods of its chain.
        learning_rate: as a multiple of training.learning_rate.
    """

    truncation: int | None = None
    share: float = 1.0
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        if self.truncation is not None:
            at_least("bptt.truncation", self.truncation, 1)
        for name in ("share", "learning_rate"):
            more_than(f"bptt.{name}", getattr(self, name), 0)


class BPTT(Method):
    """The readout's likelihood at every step of a rollout from m_∅, which is learnt too."""

    def __init__(self, student: Student, settings: BPTTSettings) -> None:
        super().__init__()
        self.student, self.settings = student, settings

    def forward(self, batch: Batch, generator: torch.Generator, progress: float) -> dict[str, Tensor]:
        student, width = self.student, self.settings.truncation or batch.length
        outputs, _ = cut_rollout(student, batch.inputs, student.initial_memory(batch.batch_size), width, memories=False)
        loss = masked_mean(negative_log_likelihood(student.targets, outputs, batch.targets), batch.mask)
        return {"loss": loss, "readout": loss}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return per_token * length
