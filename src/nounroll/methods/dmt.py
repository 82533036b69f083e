"""DAgger Memory Training: correct the student on the memories it makes itself."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nounroll.batch import Batch
from nounroll.methods.base import Method
from nounroll.objectives.dynamics import dynamics
from nounroll.objectives.readout import masked_mean, negative_log_likelihood
from nounroll.rollout.windows import cut, unroll_windows, window_starts
from nounroll.student import Student
from nounroll.teacher import Teacher


@dataclass(frozen=True, kw_only=True)
class DMTSettings:
    """Weights and sizes of the DMT loss (arXiv 2606.06479, Eq. 6; windows and the readout term are ours).

    Args:
        dynamics: weight of the regression to the teacher's memories.
        readout: weight of the readout on the student's memories, with gradients through the window.
        window: w, steps unrolled with gradients from each of the student's own memories.
        mixing: at first, share of windows that start at the teacher's memory in place of the student's; it
            falls linearly to 0 over the first half (DAgger's beta schedule, Ross et al. 2011).
        share: part of the run's budget, relative to the other methods of its chain.
        learning_rate: as a multiple of training.learning_rate.
    """

    dynamics: float = 1.0
    readout: float = 1.0
    window: int = 8
    mixing: float = 0.0
    share: float = 1.0
    learning_rate: float = 0.5


class DMT(Method):
    """One rollout without gradients, then one batch of short corrections, parallel over time.

    The teacher is frozen. All windows start from the student's own (detached) memories and unroll side
    by side: B T / w rows, sequential depth w.
    """

    def __init__(self, student: Student, teacher: Teacher, settings: DMTSettings) -> None:
        super().__init__()
        self.student, self.settings = student, settings
        self._teacher = (teacher,)  # in a tuple: it is not trained here

    def forward(self, batch: Batch, generator: torch.Generator, progress: float) -> dict[str, Tensor]:
        s, student = self.settings, self.student
        width = min(s.window, batch.length)
        offset = int(torch.randint(width, (), generator=generator))
        starts = window_starts(batch.length, width, offset)
        with torch.no_grad():
            labels = self._teacher[0].memories(batch.inputs)
            own = student.rollout(batch.inputs, student.initial_memory(batch.batch_size).detach())
            drift = dynamics(own[:, 1:], labels[:, 1:]).mean()
            start = self._mix(own[:, starts].flatten(0, 1), labels[:, starts].flatten(0, 1), generator, progress)
        x, y, mask = (cut(v, starts, width) for v in (batch.inputs, batch.targets, batch.mask))
        predicted = unroll_windows(student, x, start)

        losses = {"dynamics": dynamics(predicted, cut(labels[:, 1:], starts, width)).mean()}
        outputs = student.readout(predicted)
        losses["readout"] = masked_mean(negative_log_likelihood(student.targets, outputs, y), mask)
        total = s.dynamics * losses["dynamics"] + s.readout * losses["readout"]
        return {"loss": total, **losses, "drift": drift}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return cell_step * length + per_token * min(self.settings.window, length)

    def _mix(self, own: Tensor, label: Tensor, generator: torch.Generator, progress: float) -> Tensor:
        share = self.settings.mixing * max(0.0, 1 - 2 * progress)
        if share <= 0:
            return own
        expert = (torch.rand(own.shape[0], generator=generator) < share).to(own.device)
        return torch.where(expert[:, None, None], label, own)
