"""Supervised Memory Training: a teacher labels memories, the cell learns single steps between them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nounroll.batch import Batch
from nounroll.methods.base import Method
from nounroll.nn.norm import rms_normalise
from nounroll.objectives.dynamics import VARIANCE_FLOOR, dynamics, power_mean
from nounroll.objectives.readout import masked_mean, negative_log_likelihood
from nounroll.objectives.uniformity import uniformity
from nounroll.ranges import at_least, more_than, within
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
        relative: divide the one-step errors by the variance of the labels, so that labels cannot make them small
            by shrinking towards a constant (ours). The variance carries its whole gradient to the teacher, whatever
            ``labels_learn`` and ``inputs_learn`` are: those two are about the errors.
        power: errors of transitions enter as (mean e^p)^(1/p). 1 is the paper's mean. A rollout is as good as its
            worst step, and the steps that matter can be rare: 2 makes them count (ours).
        noise: the cell starts from memories with Gaussian noise of a random size from 0 to ``noise`` times their
            root mean square, and must still land on the label: it learns to pull its errors back in (ours).
        labels_learn: share of the errors' gradient that reaches the teacher through the labels m_t. 1 is
            the paper's. It draws labels towards what the cell can predict already, which is to stay where they
            are: new information then enters memory in tiny steps. A small share is enough to forget noise.
        inputs_learn: share that reaches it through m_{t-1}: what makes the memory Markovian.
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
    relative: bool = True
    power: float = 2.0
    noise: float = 1.0
    labels_learn: float = 0.05
    inputs_learn: float = 1.0
    share: float = 1.0
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        for name in ("decoding", "readout", "dynamics", "uniformity", "step_readout", "noise"):
            at_least(f"smt.{name}", getattr(self, name), 0)
        for name in ("horizon", "windows", "power"):
            at_least(f"smt.{name}", getattr(self, name), 1)
        if self.transitions is not None:
            at_least("smt.transitions", self.transitions, 1)
        for name in ("labels_learn", "inputs_learn"):
            within(f"smt.{name}", getattr(self, name), 0, 1)
        for name in ("share", "learning_rate"):
            more_than(f"smt.{name}", getattr(self, name), 0)


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
        sampled = self._sample(after, generator)
        variance = sampled.var(dim=0).mean() if len(sampled) > 1 else sampled.new_ones(())
        losses: dict[str, Tensor] = {}

        losses["readout"] = self._readout(after, y, mask)
        source, label = self._gradients(before, after)
        source = add_noise(source, s.noise, generator)
        predicted = student.step(x.flatten(0, 1), source.flatten(0, 1)).view_as(after)
        losses["dynamics"] = power_mean(dynamics(predicted, label), s.power)
        explained = 1 - losses["dynamics"].detach() / (variance.detach() + VARIANCE_FLOOR)
        if s.relative:
            losses["dynamics"] = losses["dynamics"] / (variance + VARIANCE_FLOOR)
        if s.step_readout:
            losses["step_readout"] = self._readout(predicted, y, mask)
        if s.decoding and self.teacher.decoder is not None:
            losses["decoding"] = self._decoding(batch, times, after, generator)
        if s.uniformity and len(sampled) > 1:
            losses["uniformity"] = uniformity(sampled).mean()
        total = torch.stack([getattr(s, name) * value for name, value in losses.items()]).sum()
        return {"loss": total, **losses, "explained": explained}

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

    def _gradients(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """The one place that decides which gradients of the errors reach the teacher.

        The variance that ``relative`` divides by is apart from this: all of its gradient does.
        """
        return scale_gradient(before, self.settings.inputs_learn), scale_gradient(after, self.settings.labels_learn)

    def _sample(self, memories: Float[Tensor, "B S K d"], generator: torch.Generator) -> Float[Tensor, "R K d"]:
        """Some memories of the batch, for the statistics of all."""
        flat = memories.flatten(0, 1)
        return flat[torch.randperm(len(flat), generator=generator)[:_SAMPLED_MEMORIES].to(flat.device)]

    def _readout(self, memories: Float[Tensor, "B S K d"], targets: Tensor, mask: Tensor) -> Float[Tensor, ""]:
        outputs = self.student.readout(memories)
        return masked_mean(negative_log_likelihood(self.student.targets, outputs, targets), mask)

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


def scale_gradient(values: Tensor, share: float) -> Tensor:
    """The values as they are, with ``share`` of their gradient."""
    return values.detach() if share == 0 else values if share == 1 else share * values + (1 - share) * values.detach()


def add_noise(
    memories: Float[Tensor, "B S K d"], largest: float, generator: torch.Generator
) -> Float[Tensor, "B S K d"]:
    """Gaussian noise of a random size in each memory, which keeps the root mean square of each token.

    The size, relative to that root mean square, is uniform on (0, ``largest``).
    """
    if not largest:
        return memories
    size = largest * torch.rand(*memories.shape[:2], 1, 1, generator=generator)
    noise = (size * torch.randn(memories.shape, generator=generator)).to(memories)
    scale = memories.detach().square().mean(-1, keepdim=True).sqrt()
    return scale * rms_normalise(memories + scale * noise)


def gather_times(values: Tensor, times: Int[Tensor, "B S"]) -> Tensor:
    """values[b, times[b, s]]: (B, T, ...) -> (B, S, ...)."""
    return values[torch.arange(values.shape[0], device=values.device)[:, None], times]
