"""DAgger Memory Training: correct the student on the memories it makes itself."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.batch import Batch
from nounroll.methods.base import Method
from nounroll.objectives.dynamics import dynamics
from nounroll.objectives.readout import masked_mean, negative_log_likelihood
from nounroll.ranges import at_least, more_than, within
from nounroll.rollout.windows import cut, unroll_windows, window_starts
from nounroll.student import Student
from nounroll.teacher import Teacher


@dataclass(frozen=True, kw_only=True)
class DMTSettings:
    """Weights and sizes of the DMT loss (arXiv 2606.06479, Eq. 6; windows and the readout term are ours).

    Args:
        dynamics: weight of the regression to the teacher's memories, at first.
        last_dynamics: that weight at the end; it goes there linearly. Where the student has grown better than its
            teacher, the teacher's memories hold it back.
        readout: weight of the readout on the student's memories, with gradients through the window.
        window: w, steps unrolled with gradients from each of the student's own memories.
        focus: a window that starts at drift g counts 1 / (1 + g / focus) times as much as one that starts on the
            teacher's memory: what is lost already cannot be learnt from, so correctness grows along the sequence.
            Only ratios count: where all windows drift alike nothing changes. None counts all the same.
        mixing: at first, share of windows that start at the teacher's memory in place of the student's; it
            falls linearly to 0 over the first half (DAgger's beta schedule, Ross et al. 2011).
        share: part of the run's budget, relative to the other methods of its chain.
        learning_rate: as a multiple of training.learning_rate.
    """

    dynamics: float = 1.0
    last_dynamics: float = 0.0
    readout: float = 1.0
    window: int = 8
    focus: float | None = 0.05
    mixing: float = 0.0
    share: float = 1.0
    learning_rate: float = 0.5

    def __post_init__(self) -> None:
        for name in ("dynamics", "last_dynamics", "readout"):
            at_least(f"dmt.{name}", getattr(self, name), 0)
        at_least("dmt.window", self.window, 1)
        within("dmt.mixing", self.mixing, 0, 1)
        for name in ("share", "learning_rate", *(["focus"] if self.focus is not None else [])):
            more_than(f"dmt.{name}", getattr(self, name), 0)


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

        weight = self._focus(start, labels[:, starts].flatten(0, 1))
        errors = dynamics(predicted, cut(labels[:, 1:], starts, width))
        surprise = negative_log_likelihood(student.targets, student.readout(predicted), y)
        losses = {"dynamics": (weight * errors).mean(), "readout": masked_mean(weight * surprise, mask)}
        pull = s.dynamics + (s.last_dynamics - s.dynamics) * progress
        total = pull * losses["dynamics"] + s.readout * losses["readout"]
        return {"loss": total, **losses, "drift": drift}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return cell_step * length + per_token * min(self.settings.window, length)

    def _focus(self, start: Float[Tensor, "BW K d"], label: Float[Tensor, "BW K d"]) -> Float[Tensor, "BW 1"]:
        """The weight of each window by the drift of its start; their mean is 1."""
        if self.settings.focus is None:
            return start.new_ones(len(start), 1)
        weight = 1 / (1 + dynamics(start, label) / self.settings.focus)
        return (weight / weight.mean())[:, None]

    def _mix(self, own: Tensor, label: Tensor, generator: torch.Generator, progress: float) -> Tensor:
        share = self.settings.mixing * max(0.0, 1 - 2 * progress)
        if share <= 0:
            return own
        expert = (torch.rand(own.shape[0], generator=generator) < share).to(own.device)
        return torch.where(expert[:, None, None], label, own)
