"""DAgger Memory Training: correct the student on its own memories, towards its teacher."""

from contextlib import nullcontext
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nounroll.cells.base import observe
from nounroll.core.batch import Batch
from nounroll.core.processes import mean, total
from nounroll.methods.base import Method, Parts, State
from nounroll.methods.decoding import decoding
from nounroll.methods.dmt_settings import DMTSettings
from nounroll.methods.heed import SILENT, heed, is_due, noted, silent_steps
from nounroll.methods.labels import separate
from nounroll.methods.tbptt import TBPTT, TBPTTSettings
from nounroll.methods.windows import Windows, own_memories
from nounroll.models.student import Student
from nounroll.nn.frozen import frozen
from nounroll.nn.recompute import again
from nounroll.objectives.dynamics import dynamics
from nounroll.objectives.readout import masked_mean, readout_loss
from nounroll.rollout.windows import at_times, cut, random_windows, unroll_windows
from nounroll.teacher import Teacher


class DMT(Method):
    """Short corrections of the student on its own memories, computed in one batch, parallel over time.

    A rollout without gradients gives the student's own memories. Windows start from them and unroll in parallel:
    B T / w rows, sequential depth w. The likelihood of the readout, the teacher's labels and its decoder correct them.
    The labels are frozen. The decoder continues to learn if it is used, unless labels depend on its weights.
    A step that does not ask the teacher (``only_ahead``) is one of truncated BPTT, and the state is as in ``TBPTT``.

    Args:
        student, teacher: the result of SMT.
        settings: settings of the loss.
        knowable: nats per scored element between a constant guess and the best prediction; see
            ``nounroll.rollout.evaluate.knowable``. It is the unit of how far the teacher is ahead.
        chunk: time steps of the windows that are computed together and recomputed for their gradients; 0 is all. The
            decoder's loss needs all of them.
    """

    taught = has_settings = True
    summary = "DMT corrected it on the memories that it makes itself."

    def __init__(
        self, student: Student, teacher: Teacher, settings: DMTSettings, knowable: float, chunk: int = 0
    ) -> None:
        super().__init__()
        self.chunk = 0 if settings.decoding else chunk
        self.student, self.settings, self.knowable = student, settings, knowable
        self._teacher = (teacher,)  # in a tuple, because this method does not train it
        self.decoder = teacher.decoder if settings.decoding and not teacher.shares_decoder else None  # to train
        alone = TBPTT(student, TBPTTSettings(window=settings.window))
        self._alone = () if settings.decoding or chunk else (alone,)  # in a tuple, because it has no weights of its own

    @classmethod
    def build(cls, parts: Parts) -> "Method":
        assert parts.teacher is not None
        return cls(parts.student, parts.teacher, parts.settings, parts.knowable, parts.chunk)

    def forward(
        self, batch: Batch, state: State, generator: torch.Generator, progress: float
    ) -> tuple[dict[str, Tensor], State]:
        s, rows, silent, unaided = self.settings, batch.batch_size, silent_steps(state), self.unaided
        if unaided is not None and not is_due(silent):
            under_way = {name: values for name, values in state.items() if name != SILENT}
            losses, after = unaided(batch, under_way, generator, progress)
            return losses, after | noted(silent, {}, rows)
        batch, there = separate(batch)
        windows, figures = self._windows(batch, there, generator, asked=is_due(silent))
        losses = self._losses_of(batch, windows, generator)
        if "dynamics" in losses and "drift" not in figures:  # the windows hold each of the student's own memories
            figures["drift"] = losses["dynamics"].detach()
        weights = {"dynamics": figures.get("ahead", 1.0) * s.dynamics, "decoding": s.decoding}
        loss = torch.stack([weights.get(name, 1.0) * value for name, value in losses.items()]).sum()
        return {"loss": loss, **losses, **figures}, noted(silent, figures, rows) if self.judges else {}

    @property
    def judges(self) -> bool:
        """True if the teacher is asked as it is ahead; else it is always asked, or never."""
        return self.settings.only_ahead and self.settings.dynamics > 0 and not self.distils

    @property
    def unaided(self) -> Method | None:
        return self._alone[0] if self.judges and self._alone else None

    def _losses_of(self, batch: Batch, windows: Windows, generator: torch.Generator) -> dict[str, Tensor]:
        """Compute the losses of windows of this batch."""
        if self.chunk:
            return self._in_parts(windows, batch.batch_size)
        predicted = unroll_windows(self.student, windows.inputs, windows.start)
        losses = self._losses(windows, predicted)
        if self.settings.decoding:
            losses["decoding"] = self._decoding(batch, windows, predicted, generator)
        return losses

    def _losses(self, windows: Windows, predicted: Float[Tensor, "BW width K d"]) -> dict[str, Tensor]:
        """Compute the losses of the readout and, if labels are used, of the distance from them."""
        losses = {"readout": self._readout(windows, predicted)}
        if (label := windows.label) is not None:
            losses["dynamics"] = masked_mean(dynamics(predicted, label, windows.kept), windows.counts)
        return losses

    def _in_parts(self, windows: Windows, rows: int) -> dict[str, Tensor]:
        """Compute ``_losses`` of ``chunk`` time steps of each row at a time, recomputed for their gradients."""

        def part(some: Windows) -> dict[str, Tensor]:
            counted = {"readout": (some.mask & some.counts).sum(), "dynamics": some.counts.sum()}
            losses = self._losses(some, unroll_windows(self.student, some.inputs, some.start))
            return {name: total(counted[name]) * value for name, value in losses.items()}

        parts = [again(part, some) for some in windows.split(max(1, rows * self.chunk // windows.mask.shape[1]))]
        counted = {"readout": (windows.mask & windows.counts).sum(), "dynamics": windows.counts.sum()}
        return {
            name: torch.stack([one[name] for one in parts]).sum() / total(counted[name]).clamp(min=1)
            for name in parts[0]
        }

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return cell_step * length + (per_token - cell_step) * min(self.settings.window, length)

    def _windows(
        self, batch: Batch, there: Bool[Tensor, "B T"] | None, generator: torch.Generator, *, asked: bool
    ) -> tuple[Windows, dict[str, Tensor]]:
        """Build windows of the steps that are ``there``; if the teacher is ``asked``, measure how far it is away."""
        (rows, length), width = batch.mask.shape, min(self.settings.window, batch.length)
        starts, counts = (v.to(batch.inputs.device) for v in random_windows(rows, length, width, generator))
        x, y, mask = (cut(v, starts, width) for v in (batch.inputs, batch.targets, batch.mask))
        counts = counts.flatten(0, 1) if there is None else counts.flatten(0, 1) & cut(there, starts, width)
        places = (torch.arange(rows, device=starts.device)[:, None] * (length + 1) + starts + 1).flatten()
        with torch.no_grad():
            labels, kept, expected = self._taught(batch) if asked else (None, None, None)
            expected = None if expected is None else cut(expected, starts, width)
            heeds = self.settings.only_ahead and labels is not None
            own, start = own_memories(self.student, batch, starts, width, self.chunk, whole=heeds)
            found = Windows(starts, x, y, mask, counts, start, labels, places, kept, expected)
            if own is None or labels is None:
                return found, {}
            away = dynamics(own[:, 1:], labels[:, 1:])
            figures = {"drift": mean((away if there is None else away[there]).mean())}
            own, expert = cut(own[:, 1:], starts, width), at_times(labels, starts).flatten(0, 1)
            begin = None if there is None else at_times(there, starts).flatten()
            start, seen = heed(self.student, found, own, expert, self.knowable, begin)
            return replace(found, start=start), figures | seen

    def _readout(self, windows: Windows, predicted: Float[Tensor, "BW width K d"]) -> Float[Tensor, ""]:
        student, scored = self.student, windows.mask & windows.counts
        features = observe(student.cell, predicted)
        return readout_loss(
            student.head, student.targets, features, windows.targets, scored, windows.expected, self.distils
        )

    def _decoding(
        self, batch: Batch, windows: Windows, predicted: Float[Tensor, "BW width K d"], generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Compute the decoder's loss on later targets, from the memories of the windows."""
        decoder, starts = self._teacher[0].decoder, windows.starts
        assert decoder is not None
        times = (starts[..., None] + torch.arange(predicted.shape[1], device=starts.device)).flatten(1)
        memories = predicted.flatten(0, 1).unflatten(0, times.shape)
        with nullcontext() if self.decoder is not None else frozen(self._teacher[0]):
            return decoding(
                decoder, self.student.targets, batch, times, lambda picks: at_times(memories, picks), generator
            )

    @property
    def distils(self) -> float:
        """Weight of the teacher's distribution in the targets of the readout."""
        return self._teacher[0].settings.distillation

    def _taught(
        self, batch: Batch
    ) -> tuple[Float[Tensor, "B T1 K d"] | None, Bool[Tensor, "K d"] | None, Float[Tensor, "B T V"] | None]:
        """Return the labels, the coordinates that are followed, and the teacher's predictions of y_t, as far as used.

        A second value of None means all coordinates; comparing readouts needs all of them.
        """
        teacher, follows = self._teacher[0], bool(self.settings.dynamics)
        if self.distils:  # read the inputs once for both
            read = teacher.read(batch.inputs)
            return teacher.labels(read) if follows else None, None, teacher.look_back(read)
        if not follows:
            return None, None, None
        if self.settings.only_ahead:
            return teacher.memories(batch.inputs), None, None
        labels, kept = teacher.kept(batch.inputs)
        return labels, kept, None
