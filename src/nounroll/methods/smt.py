"""Supervised Memory Training: a teacher labels memories, the cell learns single steps between them."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from nounroll.batch import Batch
from nounroll.methods.base import Method, mostly
from nounroll.methods.decoding import decoding
from nounroll.methods.labels import Label, labels, some_labels
from nounroll.methods.noise import add_noise
from nounroll.nn.recompute import again
from nounroll.objectives.dynamics import VARIANCE_FLOOR, dynamics, power_mean
from nounroll.objectives.readout import masked_mean, negative_log_likelihood
from nounroll.objectives.uniformity import uniformity
from nounroll.processes import own_rows
from nounroll.ranges import at_least, more_than, within
from nounroll.rollout.windows import at_times, cut, random_windows, unroll_windows
from nounroll.student import Student
from nounroll.teacher import Teacher

_SAMPLED_MEMORIES = 256  # whose statistics are taken


# What suits targets of which few are scored, and of which half or more are. See docs/method.md for the figures.
_SPARSE = {
    "decoding": 1.0,
    "step_readout": 0.0,
    "window": 1,
    "noise": 1.0,
    "labels_learn": 0.3,
    "share": 1.0,
}
_DENSE = {
    "decoding": 0.0,
    "step_readout": 1.0,
    "window": 8,
    "noise": 0.3,
    "labels_learn": 0.05,
    "share": 0.33,
}


@dataclass(frozen=True, kw_only=True)
class SMTSettings:
    """Weights and sizes of the SMT loss (arXiv 2606.06479, Eq. 2-5), and two terms of ours.

    Settings that are None are filled in for the data: see ``suited_to``.

    Args:
        decoding: weight of the decoder's prediction of the next ``horizon`` targets from sampled memories.
        readout: weight of the student's readout on every teacher memory (dense; ours).
        dynamics: weight of the regression to the labels.
        uniformity: weight of the spread of memories.
        step_readout: weight of the readout on the cell's own predictions (ours).
        horizon: T_f, targets predicted from one memory.
        decoded: memories per sequence that the decoder predicts from.
        transitions: transitions per sequence, drawn at random (rounded up to whole windows); None takes all T.
        window: steps that the cell takes by itself from each label it starts at. 1 is the paper's single step.
        relative: divide the errors by the variance of the labels, so that labels cannot make them small
            by shrinking towards a constant (ours). The variance carries its whole gradient to the teacher, whatever
            ``labels_learn`` and ``inputs_learn`` are: those two are about the errors.
        power: errors of transitions enter as (mean e^p)^(1/p). 1 is the paper's mean. A rollout is as good as its
            worst step, and the steps that matter can be rare: 2 makes them count (ours).
        noise: the cell starts from memories with Gaussian noise of a random size from 0 to ``noise`` times their
            root mean square, and must still land on the label: it learns to pull its errors back in (ours).
        labels_learn: share of the errors' gradient that reaches the teacher through the labels m_t. 1 is
            the paper's. It draws labels towards what the cell can predict already, which is to stay where they
            are: new information then enters memory in tiny steps. A small share is enough to forget noise. None is
            filled in for the data.
        inputs_learn: share that reaches it through m_{t-1}: what makes the memory Markovian.
        teacher: folder of a run whose teacher labels memories as it is, so that many cells can learn from one: only
            cell and readout learn, and ``decoding`` and ``uniformity``, which are about labels, count for nothing.
            Its sizes, the memory's and what the cell's memories can be must be the same (ours).
        share: part of the run's budget, relative to the other methods of its chain.
        until_passed: end when the teacher has nothing to teach (any more), and leave the rest of the budget to the next
            method: when in two evaluations in a row the student alone predicts better than its teacher, by 0.05 nats a
            scored element; or when, after half of its own share, the teacher is no better than the best constant
            guess by 0.2 nats. A student that is no better either then is again what it was before smt (ours).
        chunk: time steps whose labels and losses are made together, and again for their gradients; None makes those of
            the whole sequence at once. With it, and with ``teacher.recompute``, a step's memory grows with M + T in
            place of M T. Losses and gradients are the same, but for noise, whose draws are others.
        learning_rate: as a multiple of training.learning_rate.
    """

    decoding: float | None = None
    readout: float = 1.0
    dynamics: float = 0.1
    uniformity: float = 0.001
    step_readout: float | None = None
    horizon: int = 32
    decoded: int = 2
    transitions: int | None = None
    window: int | None = None
    relative: bool = True
    power: float = 2.0
    noise: float | None = None
    labels_learn: float | None = None
    inputs_learn: float = 1.0
    teacher: str | None = None
    share: float | None = None
    until_passed: bool = True
    chunk: int | None = None
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        def given(*names: str) -> list[tuple[str, float]]:
            return [(f"smt.{n}", getattr(self, n)) for n in names if getattr(self, n) is not None]

        for name, value in given("decoding", "readout", "dynamics", "uniformity", "step_readout", "noise"):
            at_least(name, value, 0)
        for name, value in given("horizon", "decoded", "transitions", "window", "power", "chunk"):
            at_least(name, value, 1)
        for name, value in given("labels_learn", "inputs_learn"):
            within(name, value, 0, 1)
        for name, value in given("share", "learning_rate"):
            more_than(name, value, 0)

    def suited_to(self, scored: float) -> "SMTSettings":
        """The same, with every None filled in for a share ``scored`` of scored targets.

        ``transitions``, ``chunk`` and ``teacher`` stay as they are: there None is a choice.

        Where most steps are scored, a few steps of the cell from each label show it what matters, and the student's
        own readout takes the decoder's place. Where few are, the decoder must look far ahead from every memory,
        and the cell learns single steps, from memories with much noise.
        """
        suited = _DENSE if mostly(scored) else _SPARSE
        return replace(self, **{name: value for name, value in suited.items() if getattr(self, name) is None})


class SMT(Method):
    """Teacher, cell and readout learn together; no gradient path is longer than ``window``, whatever T is."""

    def __init__(self, student: Student, teacher: Teacher, settings: SMTSettings) -> None:
        super().__init__()
        self.student, self.teacher, self.settings = student, teacher, settings.suited_to(0.0)

    @property
    def improves_only(self) -> bool:
        return False  # student and teacher move together: an earlier student would not fit the teacher

    def forward(self, batch: Batch, generator: torch.Generator, progress: float) -> dict[str, Tensor]:
        s, student = self.settings, self.student
        times, starts, counts = self._places(batch, generator)
        needed, width = None, counts.shape[-1]
        if s.transitions is not None and s.transitions < batch.length:
            needed = (starts[..., None] + torch.arange(width + 1, device=starts.device)).flatten(1)
        learn = s.teacher is None
        found = labels(self.teacher, batch.inputs, needed, keep=s.chunk is None, learn=learn)
        sampled, label = some_labels(found, times, _SAMPLED_MEMORIES, generator), found.at
        variance = sampled.var(dim=0).mean() if len(sampled) > 1 else sampled.new_ones(())
        losses: dict[str, Tensor] = {}

        losses["readout"] = masked_mean(self._surprises(label, times, batch), at_times(batch.mask, times))
        errors, surprises = self._transitions(label, starts, width, batch, generator)
        losses["dynamics"] = power_mean(errors, s.power)
        explained = 1 - losses["dynamics"].detach() / (variance.detach() + VARIANCE_FLOOR)
        if s.relative:
            losses["dynamics"] = losses["dynamics"] / (variance + VARIANCE_FLOOR)
        if surprises is not None:
            losses["step_readout"] = masked_mean(surprises, cut(batch.mask, starts, width) & counts.flatten(0, 1))
        if s.decoding and learn and self.teacher.decoder is not None:
            losses["decoding"] = decoding(
                self.teacher.decoder,
                student.targets,
                batch,
                times,
                lambda picks: label(at_times(times, picks) + 1),
                count=s.decoded,
                horizon=s.horizon,
                generator=generator,
            )
        if s.uniformity and learn and len(sampled) > 1:
            losses["uniformity"] = uniformity(sampled).mean()
        total = torch.stack([getattr(s, name) * value for name, value in losses.items()]).sum()
        return {"loss": total, **losses, "explained": explained}

    @property
    def until_passed(self) -> bool:
        return self.settings.until_passed

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return per_token * min(self.settings.window or 1, length)

    def finish(self) -> None:
        """The student's m_∅ is the teacher's label of the empty prefix."""
        student = self.student
        form = student.inputs.zeros(1, 1, device=student.empty_memory.device)
        with torch.no_grad():
            student.empty_memory.copy_(self.teacher.empty_memory(form))

    def _places(
        self, batch: Batch, generator: torch.Generator
    ) -> tuple[Int[Tensor, "B S"], Int[Tensor, "B W"], Bool[Tensor, "B W w"]]:
        """Times t whose labels m_t are read out; where windows of the cell's steps start, and which of these count."""
        (rows, length), device = batch.inputs.shape[:2], batch.inputs.device
        width, few = min(self.settings.window or 1, length), self.settings.transitions
        if few is None or few >= length:
            starts, counts = (v.to(device) for v in random_windows(rows, length, width, generator))
            return torch.arange(length, device=device).expand(rows, -1), starts, counts
        drawn = own_rows(rows, lambda n: torch.rand(n, length - width + 1, generator=generator).argsort(dim=1))
        starts = drawn[:, : -(-few // width)].to(device)
        spans = starts[..., None] + torch.arange(width, device=device)
        return spans.flatten(1), starts, torch.ones_like(spans, dtype=torch.bool)

    # -- losses, whole or by chunks of time ---------------------------------------------------------

    def _surprises(self, label: Label, times: Int[Tensor, "B S"], batch: Batch) -> Float[Tensor, "B S"]:
        """-log p(y_t) of the labels m_t."""

        def read_out(t: Int[Tensor, "B s"]) -> Float[Tensor, "B s"]:
            return self._surprise(label(t + 1), at_times(batch.targets, t))

        if self.settings.chunk is None:
            return read_out(times)
        return torch.cat([again(read_out, part) for part in times.split(self.settings.chunk, dim=1)], dim=1)

    def _transitions(
        self, label: Label, starts: Int[Tensor, "B W"], width: int, batch: Batch, generator: torch.Generator
    ) -> tuple[Float[Tensor, "BW w"], Float[Tensor, "BW w"] | None]:
        """Errors of the cell's steps in windows, from the first label of each; their -log p(y_t) where it counts."""
        if self.settings.chunk is None:
            return self._steps(label, starts, width, batch, generator)

        def steps(first: Int[Tensor, "B v"], seed: int) -> tuple[Tensor, ...]:
            found = self._steps(label, first, width, batch, torch.Generator().manual_seed(seed))
            return tuple(part.unflatten(0, first.shape) for part in found if part is not None)

        parts = starts.split(max(1, self.settings.chunk // width), dim=1)
        seeds = (
            torch.randint(2**62, (len(parts),), generator=generator).tolist()
            if self.settings.noise
            else [0] * len(parts)
        )
        found = zip(*(again(steps, part, seed) for part, seed in zip(parts, seeds, strict=True)), strict=True)
        errors, *surprises = (torch.cat(one, dim=1).flatten(0, 1) for one in found)
        return errors, surprises[0] if surprises else None

    def _steps(
        self, label: Label, starts: Int[Tensor, "B W"], width: int, batch: Batch, generator: torch.Generator
    ) -> tuple[Float[Tensor, "BW w"], Float[Tensor, "BW w"] | None]:
        s, spans = self.settings, starts[..., None] + torch.arange(width + 1, device=starts.device)
        labels = label(spans.flatten(1)).unflatten(1, spans.shape[1:])
        source, target = self._gradients(labels[:, :, 0], labels[:, :, 1:])
        source = add_noise(source, s.noise or 0.0, generator)
        predicted = unroll_windows(self.student, cut(batch.inputs, starts, width), source.flatten(0, 1))
        errors = dynamics(predicted, target.flatten(0, 1))
        return errors, self._surprise(predicted, cut(batch.targets, starts, width)) if s.step_readout else None

    def _gradients(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """The one place that decides which gradients of the errors reach the teacher.

        The variance that ``relative`` divides by is apart from this: all of its gradient does.
        """
        s = self.settings
        return scale_gradient(before, s.inputs_learn), scale_gradient(after, s.labels_learn or 0.0)

    def _surprise(self, memories: Float[Tensor, "N S K d"], targets: Shaped[Tensor, "N S *y"]) -> Float[Tensor, "N S"]:
        return negative_log_likelihood(self.student.targets, self.student.readout(memories), targets)


def scale_gradient(values: Tensor, share: float) -> Tensor:
    """The values as they are, with ``share`` of their gradient."""
    return values.detach() if share == 0 else values if share == 1 else share * values + (1 - share) * values.detach()
