"""DAgger Memory Training: correct the student on the memories it makes itself."""

from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from nounroll.batch import Batch
from nounroll.methods.base import Method, mostly
from nounroll.methods.decoding import decoding
from nounroll.methods.noise import add_noise
from nounroll.objectives.dynamics import dynamics
from nounroll.objectives.readout import masked_mean, negative_log_likelihood
from nounroll.processes import mean, own_rows, variance
from nounroll.ranges import at_least, more_than, within
from nounroll.rollout.parallel import Solver, parallel_rollout
from nounroll.rollout.windows import at_times, cut, cut_rollout, random_windows, staggered, unroll_windows
from nounroll.student import Student
from nounroll.teacher import Teacher

Rollout = Literal["sequential", "once", "carried", Solver]

_CLEARLY_WORSE = 0.5  # nats per scored element

# What suits targets of which few are scored, and of which half or more are. See docs/method.md for the figures.
_SPARSE = {"dynamics": 1.0, "decoding": 1.0}
_DENSE = {"dynamics": 0.0, "decoding": 0.0}


@dataclass(frozen=True, kw_only=True)
class DMTSettings:
    """Weights and sizes of the DMT loss (arXiv 2606.06479, Eq. 6; windows and the readout term are ours).

    Args:
        dynamics: weight of the regression to the teacher's memories. 0 leaves the teacher out, and ``lost`` with it.
            None is filled in for the data: see ``suited_to``.
        decoding: weight of the decoder's prediction of the next ``horizon`` targets from memories of the student's,
            with gradients through the window and to the decoder. It tells a window what the far future needs of
            its memories (ours). None is filled in for the data.
        only_ahead: multiply that weight by how far the teacher is ahead: by how many nats a scored element its memories
            read out better than the student's on this batch, within 0 and 1. A teacher that is behind would hold
            the student back (cf. the Q-filter of Nair et al. 2018, arXiv 1709.10089). False is the paper's.
        readout: weight of the readout on the student's memories, with gradients through the window.
        horizon: T_f, targets predicted from one memory.
        decoded: memories per sequence that the decoder predicts from.
        window: w, steps unrolled with gradients from each of the student's own memories.
        noise: windows start from memories with Gaussian noise of a random size from 0 to ``noise`` times their root
            mean square. Where sequences are few it keeps the student from learning them by heart (ours).
        lost: a window starts at the teacher's memory in place of the student's where the student is lost: its drift
            is more than ``lost`` times the variance of memories, and its readout in that window is clearly worse
            than the teacher's (or nothing is scored there). From such a memory nothing can be learnt, and trying
            to would blur the readout (cf. SafeDAgger, Zhang & Cho 2017). None never does so.
        mixing: at first, share of windows that start at the teacher's memory in place of the student's; it
            falls linearly to 0 over the first half (DAgger's beta schedule, Ross et al. 2011).
        rollout: how the student's own memories are found. sequential: one after another, without gradients; the
            windows then take their steps again, side by side. once: with gradients, which end at windows that follow
            each other, so that no step is taken twice, but one window goes backward after another. carried: not at
            all. Every training step takes each of the last T / w batches one window further, side by side, from where
            the step before left it (ours; T / w windows of equal length, at multiples of it). Memories are then
            of students up to T / w steps old, and no chain is longer than a window; only the first step on sequences of
            a length rolls out, to have something to go on from. once and carried are for windows that start from the
            student's memories alone (no ``dynamics``, no ``mixing``); carried, besides, is for no ``decoding``. newton,
            diagonal, jacobi: all at once, by a solver of ``nounroll.rollout.parallel``, which pays on many processors;
            a budget in sequential FLOPs counts it as sequential. None: sequential where the teacher has a part in
            windows, and with training.compile or training.accumulate; else once with the decoder, and carried without.
        tolerance: of such a solver.
        share: part of the run's budget, relative to the other methods of its chain.
        learning_rate: as a multiple of training.learning_rate.
    """

    dynamics: float | None = None
    decoding: float | None = None
    only_ahead: bool = True
    readout: float = 1.0
    horizon: int = 32
    decoded: int = 2
    window: int = 32
    noise: float = 0.0
    lost: float | None = 0.5
    mixing: float = 0.0
    rollout: Rollout | None = None
    tolerance: float = 1e-4
    share: float = 1.0
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        for name in ("readout", "dynamics", "decoding", "noise"):
            if getattr(self, name) is not None:
                at_least(f"dmt.{name}", getattr(self, name), 0)
        for name in ("horizon", "decoded", "window"):
            at_least(f"dmt.{name}", getattr(self, name), 1)
        within("dmt.mixing", self.mixing, 0, 1)
        for name in ("tolerance", "share", "learning_rate", *(["lost"] if self.lost is not None else [])):
            more_than(f"dmt.{name}", getattr(self, name), 0)

    def suited_to(self, scored: float, *, alike: bool = False) -> "DMTSettings":
        """The same, with what is None filled in for a share ``scored`` of scored targets.

        Where most steps are scored, the readout alone teaches the student and the time is better spent on it. Losses
        that have to be ``alike``, to be compiled once or added up over parts of a batch, roll out each time and take
        windows of one length: nothing else depends on what came before, or has the same shapes each time.
        """
        suited = {**(_DENSE if mostly(scored) else _SPARSE), **({"rollout": "sequential"} if alike else {})}
        return replace(self, **{name: value for name, value in suited.items() if getattr(self, name) is None})


class DMT(Method):
    """Short corrections of the student on its own memories, in one batch, parallel over time.

    The teacher's labels are frozen; its decoder goes on learning where it is used. All windows start from the
    student's own (detached) memories and unroll side by side: B T / w rows, sequential depth w. These memories come
    from a rollout without gradients or, where the teacher has no part in them, from the training steps before; or
    windows are cut out of the rollout itself (``DMTSettings.rollout``).

    Raises:
        ValueError: the teacher or its decoder has a part in the loss, and ``rollout`` is one without it.
    """

    def __init__(self, student: Student, teacher: Teacher, settings: DMTSettings) -> None:
        super().__init__()
        self.student, self.settings = student, settings.suited_to(0.0)
        self._teacher = (teacher,)  # in a tuple: its labels are not trained here
        self.decoder = teacher.decoder if self.settings.decoding else None
        for name in ("dynamics", "mixing"):
            if self.settings.rollout in ("once", "carried") and getattr(self.settings, name):
                raise ValueError(
                    f"dmt.rollout is {self.settings.rollout!r} and dmt.{name} is {getattr(self.settings, name)};"
                    " windows that may start at the teacher's memories need dmt.rollout=sequential"
                )
        if self.settings.rollout == "carried" and self.decoder is not None:
            raise ValueError(
                f"dmt.rollout is 'carried' and dmt.decoding is {self.settings.decoding}; the decoder needs whole"
                " sequences of memories, set dmt.rollout=once"
            )

    def forward(self, batch: Batch, generator: torch.Generator, progress: float) -> dict[str, Tensor]:
        if self._how == "carried" and batch.length > self.settings.window:
            return self._from_carried(batch, generator)
        self.carried = ()
        if self._how in ("once", "carried"):
            return self._in_one_pass(batch, generator)
        return self._side_by_side(batch, generator, progress)

    def _side_by_side(self, batch: Batch, generator: torch.Generator, progress: float) -> dict[str, Tensor]:
        """The loss where windows start from a rollout without gradients, or from the teacher's memories."""
        s, student = self.settings, self.student
        (rows, length), width = batch.mask.shape, min(s.window, batch.length)
        starts, counts = (v.to(batch.inputs.device) for v in random_windows(rows, length, width, generator))
        x, y, mask = (cut(v, starts, width) for v in (batch.inputs, batch.targets, batch.mask))
        counts = counts.flatten(0, 1)
        with torch.no_grad():
            empty = student.initial_memory(batch.batch_size).detach()
            led_by_teacher = self._led_by_teacher
            alone = width == batch.length and not led_by_teacher  # all windows start at m_∅: no rollout is needed
            labels = self._teacher[0].memories(batch.inputs) if led_by_teacher else None
            own, figures = (empty[:, None], {}) if alone else self._rollout(batch.inputs, empty, labels)
            start, label = at_times(own, starts).flatten(0, 1), None
            if labels is not None:
                expert = at_times(labels, starts).flatten(0, 1)
                label, mine = (cut(memories[:, 1:], starts, width) for memories in (labels, own))
                behind = self._surprise(mine, y) - self._surprise(label, y)
                lost = self._lost(start, expert, behind, mask)
                led = lost | self._mixed(len(start), generator, progress, lost)
                start = torch.where(led[:, None, None], expert, start)
                figures |= {
                    "drift": mean(dynamics(own[:, 1:], labels[:, 1:]).mean()),
                    "ahead": masked_mean(behind, mask & counts).clamp(0, 1),
                    "lost": mean(lost.float().mean()),
                }
        predicted = unroll_windows(student, x, add_noise(start[:, None], s.noise, generator)[:, 0])
        times = (starts[..., None] + torch.arange(width, device=starts.device)).flatten(1)
        memories = predicted.flatten(0, 1).unflatten(0, times.shape)
        readout = masked_mean(self._surprise(predicted, y), mask & counts)
        total, losses = self._predictions(readout, batch, times, memories, generator)
        if label is not None:
            losses["dynamics"] = masked_mean(dynamics(predicted, label), counts)
            pull = (figures["ahead"] if s.only_ahead else 1.0) * (s.dynamics or 0.0)
            total = total + pull * losses["dynamics"]
        return {"loss": total, **losses, **figures}

    @property
    def _led_by_teacher(self) -> bool:
        """Whether windows may start at its memories, or are drawn to them."""
        return bool(self.settings.dynamics or self.settings.mixing)

    @property
    def _how(self) -> Rollout:
        """How windows come by their first memories. See ``DMTSettings.rollout``."""
        if self.settings.rollout is not None:
            return self.settings.rollout
        if self._led_by_teacher:
            return "sequential"
        return "carried" if self.decoder is None else "once"

    def _from_carried(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss where every window starts from what the training steps before have left."""
        s, student = self.settings, self.student
        count = -(-batch.length // s.window)
        width = -(-batch.length // count)
        begun = (batch, student.initial_memory(batch.batch_size).detach())
        carried = self.carried
        if len(carried) != count - 1 or carried[0][0].inputs.shape != batch.inputs.shape:
            with torch.no_grad():
                own = student.rollout(batch.inputs, begun[1])
            carried = tuple((batch, own[:, g * width]) for g in range(1, count))
        batches, memories = zip(begun, *carried, strict=True)
        x, y, mask = (staggered(values, width).flatten(0, 1) for values in Batch.arrays(batches).values())
        start = add_noise(torch.stack(memories, dim=1).flatten(0, 1)[:, None], s.noise, generator)[:, 0]
        outputs, last = student.outputs(x, start)
        reached = last.detach().unflatten(0, (-1, count)).unbind(1)
        self.carried = tuple(zip(batches, reached, strict=True))[:-1]
        readout = masked_mean(negative_log_likelihood(student.targets, outputs, y), mask)
        return {"loss": s.readout * readout, "readout": readout}

    def _in_one_pass(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss where every window starts from the last memory of the one before it."""
        s, student, length = self.settings, self.student, batch.length
        first = int(torch.randint(s.window, (1,), generator=generator)) if s.window < length else 0

        def start(memory: Float[Tensor, "B K d"]) -> Float[Tensor, "B K d"]:
            return add_noise(memory[:, None], s.noise, generator)[:, 0]

        empty = start(student.initial_memory(batch.batch_size).detach())
        outputs, memories = cut_rollout(
            student, batch.inputs, empty, s.window, first=first, start=start, memories=self.decoder is not None
        )
        times = torch.arange(length, device=outputs.device).expand(batch.batch_size, -1)
        readout = masked_mean(negative_log_likelihood(student.targets, outputs, batch.targets), batch.mask)
        total, losses = self._predictions(readout, batch, times, memories, generator)
        return {"loss": total, **losses}

    def _predictions(
        self,
        readout: Float[Tensor, ""],
        batch: Batch,
        times: Int[Tensor, "B S"],
        memories: Float[Tensor, "B S K d"] | None,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """What is predicted from memories that the student has just made after these times: the sum, and each loss."""
        s, losses = self.settings, {"readout": readout}
        total = s.readout * readout
        if self.decoder is not None and memories is not None:
            losses["decoding"] = decoding(
                self.decoder,
                self.student.targets,
                batch,
                times,
                lambda picks: at_times(memories, picks),
                count=s.decoded,
                horizon=s.horizon,
                generator=generator,
            )
            total = total + (s.decoding or 0.0) * losses["decoding"]
        return total, losses

    def _rollout(
        self, inputs: Shaped[Tensor, "B T *x"], empty: Float[Tensor, "B K d"], labels: Float[Tensor, "B T1 K d"] | None
    ) -> tuple[Float[Tensor, "B T1 K d"], dict[str, Tensor]]:
        """The student's own memories; of a solver also its iterations, and the share of steps that it gave up.

        The labels are the solver's first guess.
        """
        if self.settings.rollout in (None, "sequential"):
            return self.student.rollout(inputs, empty), {}
        solver, tolerance = cast(Solver, self.settings.rollout), self.settings.tolerance
        guess = None if labels is None else labels[:, 1:]
        found = parallel_rollout(self.student, inputs, empty, solver=solver, tolerance=tolerance, guess=guess)
        shares = {"iterations": found.iterations, "stepped": found.stepped / inputs.shape[1]}
        return found.memories, {name: empty.new_tensor(float(value)) for name, value in shares.items()}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        if self._how == "carried":
            return per_token * min(self.settings.window, length)
        return cell_step * length + (per_token - cell_step) * min(self.settings.window, length)

    def _lost(
        self,
        start: Float[Tensor, "BW K d"],
        expert: Float[Tensor, "BW K d"],
        behind: Float[Tensor, "BW width"],
        mask: Bool[Tensor, "BW width"],
    ) -> Bool[Tensor, "BW"]:
        """Windows from whose start the student can learn nothing. See ``DMTSettings.lost``."""
        if self.settings.lost is None:
            return torch.zeros(len(start), dtype=torch.bool, device=start.device)
        far = dynamics(start, expert) > self.settings.lost * variance(expert)
        worse = torch.where(mask, behind, 0.0).sum(1) / mask.sum(1).clamp(min=1) > _CLEARLY_WORSE
        return far & (worse | ~mask.any(1))

    def _surprise(self, memories: Float[Tensor, "n width K d"], targets: Shaped[Tensor, "n width *y"]) -> Tensor:
        return negative_log_likelihood(self.student.targets, self.student.readout(memories), targets)

    def _mixed(self, count: int, generator: torch.Generator, progress: float, like: Tensor) -> Bool[Tensor, "BW"]:
        """Windows that start at the teacher's memory by DAgger's schedule."""
        share = self.settings.mixing * max(0.0, 1 - 2 * progress)
        if share <= 0:
            return torch.zeros_like(like)
        return (own_rows(count, lambda n: torch.rand(n, generator=generator)) < share).to(like.device)
