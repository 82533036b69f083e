"""Supervised Memory Training: a teacher labels memories, and the cell learns single steps between them."""

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from nounroll.core.batch import Batch
from nounroll.methods.base import Method, Parts, State
from nounroll.methods.decoding import decoding, some_places
from nounroll.methods.labels import Label, labels, separate, some_labels
from nounroll.methods.noise import add_noise
from nounroll.methods.smt_settings import SMTSettings
from nounroll.models.student import Student
from nounroll.nn.recompute import again
from nounroll.objectives.dynamics import VARIANCE_FLOOR, dynamics, power_mean, scale_gradient
from nounroll.objectives.readout import masked_mean, taught
from nounroll.objectives.uniformity import uniformity
from nounroll.rollout.windows import at_times, cut, some_windows, unroll_windows, windows_there
from nounroll.teacher import Teacher

_SAMPLED_MEMORIES = 256  # memories from which statistics are computed
_SPREAD = 64  # memories of these for the uniformity loss, whose cost is quadratic


class SMT(Method):
    """Joint training of teacher, cell and readout; no gradient path is longer than ``window``, for any T."""

    taught = trains_teacher = has_settings = True
    summary = "SMT taught it single steps between the memories that a Transformer teacher has of the same sequences."

    def __init__(self, student: Student, teacher: Teacher, settings: SMTSettings) -> None:
        super().__init__()
        self.student, self.teacher, self.settings = student, teacher, settings

    @classmethod
    def build(cls, parts: Parts) -> "Method":
        assert parts.teacher is not None
        return cls(parts.student, parts.teacher, parts.settings)

    @property
    def improves_only(self) -> bool:
        return False  # student and teacher change together: an earlier student would not fit the teacher

    def forward(
        self, batch: Batch, state: State, generator: torch.Generator, progress: float
    ) -> tuple[dict[str, Tensor], State]:
        s, student = self.settings, self.student
        whole = batch.mask.shape
        batch, there = separate(batch)
        starts, counts, used = self._windows(batch, there, whole, generator)
        width, learn, every = counts.shape[-1], not s.teacher, self.teacher.encoder.all_at_once
        spans = starts[..., None] + torch.arange(width + 1, device=starts.device)
        sampled_times = spans[..., :-1].flatten(1)
        found = labels(self.teacher, batch.inputs, None if every else spans.flatten(1), learn=learn)
        sampled, label = some_labels(found, sampled_times, _SAMPLED_MEMORIES, generator, used), found.at
        variance = sampled.var(dim=0).mean() if len(sampled) > 1 else sampled.new_ones(())
        losses: dict[str, Tensor] = {}

        times = some_places(batch.mask, sampled_times.shape[1], generator) if every else sampled_times
        if learn and found.look_back is not None and not self.teacher.settings.frozen:
            surprise = taught(student.targets, found.look_back, batch.targets)
            losses["look_back"] = masked_mean(surprise, batch.mask)
        expected = found.look_back.detach() if self.distils and found.look_back is not None else None
        scored = at_times(batch.mask, times) if every or used is None else at_times(batch.mask, times) & used
        losses["readout"] = masked_mean(self._surprises(label, times, batch, expected), scored)
        errors, surprises = self._transitions(label, starts, width, batch, expected, generator)
        losses["dynamics"] = power_mean(
            errors, 2.0 if s.relative else 1.0, None if used is None else used.view(-1, width)
        )
        explained = 1 - losses["dynamics"].detach() / (variance.detach() + VARIANCE_FLOOR)
        if s.relative:
            losses["dynamics"] = losses["dynamics"] / (variance + VARIANCE_FLOOR)
        if surprises is not None:
            losses["step_readout"] = masked_mean(surprises, cut(batch.mask, starts, width) & counts.flatten(0, 1))
        if s.decoding and learn and self.teacher.decoder is not None:
            if every:
                times = torch.arange(batch.length, device=starts.device).expand(batch.batch_size, -1)
            losses["decoding"] = decoding(
                self.teacher.decoder,
                student.targets,
                batch,
                times,
                lambda picks: label(at_times(times, picks) + 1),
                generator,
            )
        if s.uniformity and learn and len(sampled) > 1:
            losses["uniformity"] = uniformity(sampled[:_SPREAD]).mean()
        total = torch.stack([getattr(s, name, 1.0) * value for name, value in losses.items()]).sum()
        return {"loss": total, **losses, "explained": explained}, {}

    def _windows(
        self, batch: Batch, there: Bool[Tensor, "B T"] | None, whole: tuple[int, ...], generator: torch.Generator
    ) -> tuple[Int[Tensor, "B W"], Bool[Tensor, "B W width"], Bool[Tensor, "B S"] | None]:
        """Draw windows of transitions; return their starts, the steps that count, and the steps that are not padding.

        The last is None without padding. Split rows give as many windows as the ``whole`` rows, (B, T), would.
        """
        s, (rows, length), device = self.settings, batch.mask.shape, batch.mask.device
        width = min(s.window, length)
        if there is None or not s.transitions or s.transitions >= whole[1]:
            starts, counts = some_windows(rows, length, width, s.transitions or length, generator)
            starts, counts = starts.to(device), counts.to(device)
            return starts, counts, None if there is None else cut(there, starts, width).view(rows, -1)
        count = whole[0] * -(-s.transitions // width)
        starts, drawn = (v.to(device) for v in windows_there(there.cpu(), width, count, generator))
        counts = cut(there, starts, width).unflatten(0, starts.shape) & drawn[..., None]
        return starts, counts, counts.flatten(1)

    @property
    def until_passed(self) -> bool:
        return self.settings.until_passed

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return per_token * min(self.settings.window, length)

    def finish(self) -> None:
        """Set the student's m_∅ to the teacher's label of the empty prefix."""
        student = self.student
        form = student.inputs.zeros(1, 1, device=student.empty_memory.device)
        with torch.no_grad():
            student.empty_memory.copy_(self.teacher.empty_memory(form))

    @property
    def distils(self) -> float:
        """Weight of the teacher's distribution in the targets of the readout."""
        return self.teacher.settings.distillation

    # -- losses, at once or in chunks of time -------------------------------------------------------

    def _surprises(
        self, label: Label, times: Int[Tensor, "B S"], batch: Batch, expected: Float[Tensor, "B T V"] | None
    ) -> Float[Tensor, "B S"]:
        """Compute -log p(y_t) of the labels m_t, or its mixture with the teacher's predictions (``taught``)."""

        def read_out(t: Int[Tensor, "B s"]) -> Float[Tensor, "B s"]:
            soft = None if expected is None else at_times(expected, t)
            return self._surprise(label(t + 1), at_times(batch.targets, t), soft)

        if not self.settings.chunk:
            return read_out(times)
        return torch.cat([again(read_out, part) for part in times.split(self.settings.chunk, dim=1)], dim=1)

    def _transitions(
        self,
        label: Label,
        starts: Int[Tensor, "B W"],
        width: int,
        batch: Batch,
        expected: Float[Tensor, "B T V"] | None,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "BW w"], Float[Tensor, "BW w"] | None]:
        """Compute the errors of the cell's steps in windows from their first labels, and ``taught`` if needed."""
        if not self.settings.chunk:
            return self._steps(label, starts, width, batch, expected, generator)

        def steps(first: Int[Tensor, "B v"], seed: int) -> tuple[Tensor, ...]:
            found = self._steps(label, first, width, batch, expected, torch.Generator().manual_seed(seed))
            return tuple(part.unflatten(0, first.shape) for part in found if part is not None)

        parts = starts.split(max(1, self.settings.chunk // width), dim=1)
        seeds = [0] * len(parts)
        if self.settings.noise:
            seeds = torch.randint(2**62, (len(parts),), generator=generator).tolist()
        found = zip(*(again(steps, part, seed) for part, seed in zip(parts, seeds, strict=True)), strict=True)
        errors, *surprises = (torch.cat(one, dim=1).flatten(0, 1) for one in found)
        return errors, surprises[0] if surprises else None

    def _steps(
        self,
        label: Label,
        starts: Int[Tensor, "B W"],
        width: int,
        batch: Batch,
        expected: Float[Tensor, "B T V"] | None,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "BW w"], Float[Tensor, "BW w"] | None]:
        s, spans = self.settings, starts[..., None] + torch.arange(width + 1, device=starts.device)
        labels = label(spans.flatten(1)).unflatten(1, spans.shape[1:])
        source, target = labels[:, :, 0], scale_gradient(labels[:, :, 1:], s.labels_learn)
        source = add_noise(source, s.noise, generator)
        predicted = unroll_windows(self.student, cut(batch.inputs, starts, width), source.flatten(0, 1))
        errors = dynamics(predicted, target.flatten(0, 1))
        if not s.step_readout:
            return errors, None
        soft = None if expected is None else cut(expected, starts, width)
        return errors, self._surprise(predicted, cut(batch.targets, starts, width), soft)

    def _surprise(
        self,
        memories: Float[Tensor, "N S K d"],
        targets: Shaped[Tensor, "N S *y"],
        expected: Float[Tensor, "N S V"] | None,
    ) -> Float[Tensor, "N S"]:
        return taught(self.student.targets, self.student.readout(memories), targets, expected, self.distils)
