"""Supervised Memory Training: a teacher labels memories, the cell learns single steps between them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nounroll.batch import Batch
from nounroll.methods.base import Method
from nounroll.objectives.dynamics import dynamics
from nounroll.objectives.readout import masked_mean, negative_log_likelihood
from nounroll.objectives.uniformity import uniformity
from nounroll.student import Student
from nounroll.teacher import Teacher

_SAMPLED_MEMORIES = 256  # rows for the statistics of memories


@dataclass(frozen=True, kw_only=True)
class SMTSettings:
    """Weights and sizes of the SMT loss (arXiv 2606.06479, Eq. 2-5), and two terms of ours.

    Args:
        decoding: weight of the decoder's prediction of the next ``horizon`` targets from sampled memories.
        readout: weight of the student's readout on every teacher memory (dense; ours).
        dynamics: weight of the one-step regression.
        uniformity: weight of the spread of memories.
        step_readout: weight of the readout on the cell's own one-step prediction (ours).
        horizon: T_f, targets predicted from one memory.
        windows: decoder windows per sequence.
        transitions: transitions per sequence, drawn at random; None takes all T.
        labels_learn: let the gradient of the dynamics loss reach the teacher through the labels m_t.
        inputs_learn: let it reach the teacher through m_{t-1}.
        share: part of the run's budget, relative to the other methods of its chain.
        learning_rate: as a multiple of training.learning_rate.
    """

    decoding: float = 1.0
    readout: float = 1.0
    dynamics: float = 0.1
    uniformity: float = 0.001
    step_readout: float = 0.0
    horizon: int = 32
    windows: int = 2
    transitions: int | None = None
    relative: bool = False
    noise: float = 0.0
    teacher_first: float = 0.0
    labels_learn: bool = True
    inputs_learn: bool = True
    share: float = 1.0
    learning_rate: float = 1.0


class SMT(Method):
    """Teacher, cell and readout learn together; nothing is unrolled and every gradient path is O(1) in T."""

    def __init__(self, student: Student, teacher: Teacher, settings: SMTSettings) -> None:
        super().__init__()
        self.student, self.teacher, self.settings = student, teacher, settings

    @property
    def improves_only(self) -> bool:
        return False  # student and teacher move together: an earlier student would not fit the teacher

    def forward(self, batch: Batch, generator: torch.Generator, progress: float) -> dict[str, Tensor]:
        s, student = self.settings, self.student
        times, before, after = self._labels(batch, generator)
        x, y, mask = batch.inputs, batch.targets, batch.mask
        if times.shape[1] < batch.length:
            x, y, mask = (gather_times(v, times) for v in (x, y, mask))
        losses: dict[str, Tensor] = {}

        outputs = student.readout(after)
        losses["readout"] = masked_mean(negative_log_likelihood(student.targets, outputs, y), mask)
        source, label = self._gradients(before, after, progress)
        if s.noise:
            scale = s.noise * torch.rand(*source.shape[:2], 1, 1, generator=generator)
            source = constrain_noise(student.cell, source, scale * torch.randn(source.shape, generator=generator))
        predicted = student.step(x.flatten(0, 1), source.flatten(0, 1)).view_as(after)
        losses["dynamics"] = dynamics(predicted, label).mean()
        if s.relative:
            losses["dynamics"] = losses["dynamics"] / (label.flatten(0, 1).var(dim=0).mean() + 1e-4)
        if s.step_readout:
            outputs = student.readout(predicted)
            losses["step_readout"] = masked_mean(negative_log_likelihood(student.targets, outputs, y), mask)
        if s.decoding and self.teacher.decoder is not None:
            losses["decoding"] = self._decoding(batch, times, after, generator)
        rows = torch.randperm(after.shape[0] * after.shape[1], generator=generator)[:_SAMPLED_MEMORIES]
        sampled = after.flatten(0, 1)[rows.to(after.device)]
        if s.uniformity:
            losses["uniformity"] = uniformity(sampled).mean()

        total = torch.stack([getattr(s, name) * value for name, value in losses.items()]).sum()
        spread = sampled.detach().var(dim=0).mean()
        return {"loss": total, **losses, "explained": 1 - losses["dynamics"].detach() / spread}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return per_token

    def finish(self) -> None:
        """The student's m_∅ is the teacher's label of the empty prefix."""
        student = self.student
        form = student.inputs.zeros(1, 1, device=student.empty_memory.device)
        with torch.no_grad():
            student.empty_memory.copy_(self.teacher.empty_memory(form))

    def _labels(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Times t (B, S) and the labels m_{t-1}, m_t of each, (B, S, K, d)."""
        size, length = batch.batch_size, batch.length
        if self.settings.transitions is None or self.settings.transitions >= length:
            memories = self.teacher.memories(batch.inputs)
            times = torch.arange(length, device=batch.inputs.device).expand(size, -1)
            return times, memories[:, :-1], memories[:, 1:]
        drawn = torch.rand(size, length, generator=generator).argsort(dim=1)[:, : self.settings.transitions]
        times = drawn.to(batch.inputs.device)
        before, after = self.teacher.memories(batch.inputs, torch.cat([times, times + 1], dim=1)).chunk(2, dim=1)
        return times, before, after

    def _gradients(self, before: Tensor, after: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """The one place that decides which gradients of the dynamics loss reach the teacher."""
        s = self.settings
        if progress < s.teacher_first:
            return before.detach(), after.detach()
        return (before if s.inputs_learn else before.detach()), (after if s.labels_learn else after.detach())

    def _decoding(
        self, batch: Batch, times: Int[Tensor, "B S"], after: Float[Tensor, "B S K d"], generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Cross-entropy of the decoder's next ``horizon`` targets from ``windows`` memories a sequence."""
        assert self.teacher.decoder is not None
        horizon, length = min(self.settings.horizon, batch.length), batch.length
        picks = torch.randint(times.shape[1], (batch.batch_size, self.settings.windows), generator=generator)
        picks = picks.to(times.device)
        memory = gather_times(after, picks).flatten(0, 1)
        span = gather_times(times, picks)[..., None] + torch.arange(horizon, device=times.device)
        inside, span = (span < length).flatten(0, 1), span.clamp(max=length - 1).flatten(1)
        x, y, mask = (
            gather_times(v, span).unflatten(1, (-1, horizon)).flatten(0, 1)
            for v in (batch.inputs, batch.targets, batch.mask)
        )
        outputs = self.teacher.decoder(memory, x[:, 1:])
        return masked_mean(negative_log_likelihood(self.student.targets, outputs, y), mask & inside)


def constrain_noise(cell, m, e):
    from nounroll.nn.norm import rms_normalise
    if hasattr(cell, "constrain"):
        return m + 0.5 * e
    return rms_normalise(m + e)


def gather_times(values: Tensor, times: Int[Tensor, "B S"]) -> Tensor:
    """values[b, times[b, s]]: (B, T, ...) -> (B, S, ...)."""
    return values[torch.arange(values.shape[0], device=values.device)[:, None], times]
