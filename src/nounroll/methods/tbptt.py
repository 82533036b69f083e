"""Truncated backpropagation through time: windows of a rollout that learn from the targets alone."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.core.batch import Batch
from nounroll.core.ranges import at_least
from nounroll.methods.base import Method, Parts, State
from nounroll.models.student import Student
from nounroll.objectives.readout import readout_loss
from nounroll.rollout.windows import cut_rollout, staggered


@dataclass(frozen=True, kw_only=True)
class TBPTTSettings:
    """Length of the gradient path (Williams & Peng 1990), and how windows follow one another.

    Args:
        window: w, steps of a window; gradients stop at its borders.
        carry: True advances each of the last T / w batches by one window per step, in parallel, from the memory where
            the step before ended. No time step is computed twice, the longest chain is one window, and a kernel call
            has T / w times as many rows; memories come from students up to T / w steps old. For a stream, which is read
            in order, each batch continues from the memories after the one before. False rolls each batch out from m_∅
            and cuts the gradient every w steps, at other times in every batch.
    """

    window: int = 32
    carry: bool = True

    def __post_init__(self) -> None:
        at_least("tbptt.window", self.window, 1)


class TBPTT(Method):
    """Negative log-likelihood at every scored step, with gradients through one window. It uses no teacher.

    With ``carry``, the state holds the G = ceil(T / w) - 1 unfinished batches, the latest first, and the student's
    memory at the current position in each: "inputs", "targets", "mask" and, if there are any, "resets"
    (G, B, T, ...), "memory" (G, B, K, d). For a stream it is the memory after the last batch, (1, B, K, d).

    Args:
        student: the student to train.
        settings: settings of the method.
        stream: with ``carry``, batches come from ``SequenceTask.follow``.
    """

    has_settings = True
    summary = "Truncated BPTT trained it by gradients through windows of the unrolled sequence."

    def __init__(self, student: Student, settings: TBPTTSettings, *, stream: bool = False) -> None:
        super().__init__()
        self.student, self.settings = student, settings
        self._stream = stream and settings.carry

    @property
    def carries(self) -> bool:
        return self._stream

    @classmethod
    def build(cls, parts: Parts) -> "Method":
        return cls(parts.student, parts.settings, stream=parts.stream)

    def forward(
        self, batch: Batch, state: State, generator: torch.Generator, progress: float
    ) -> tuple[dict[str, Tensor], State]:
        if self._stream:
            return self._followed(batch, state)
        if self.settings.carry and batch.length > self.settings.window:
            return self._carried(batch, state)
        return self._cut(batch, generator), {}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        side_by_side = self.settings.carry and not self._stream
        return per_token * (min(self.settings.window, length) if side_by_side else length)

    def _carried(self, batch: Batch, state: State) -> tuple[dict[str, Tensor], State]:
        """Train on the next window of each unfinished batch, and on the first window of this batch."""
        student, count = self.student, -(-batch.length // self.settings.window)
        width = -(-batch.length // count)
        if not _fits(state, batch, count - 1):
            state = self._begun(batch, count, width)
        arrays = {name: torch.cat([values[None], state[name]]) for name, values in _arrays(batch).items()}
        memory = torch.cat([student.initial_memory(batch.batch_size)[None], state["memory"]])
        x, y, mask, *resets = (staggered(values, width).flatten(0, 1) for values in arrays.values())
        features, last = student.features(x, memory.flatten(0, 1), resets=resets[0] if resets else None)
        loss = readout_loss(student.head, student.targets, features, y, mask)
        arrays["memory"] = last.detach().unflatten(0, (count, -1))
        return {"loss": loss, "readout": loss}, {name: values[:-1] for name, values in arrays.items()}

    def _begun(self, batch: Batch, count: int, width: int) -> State:
        """Build a first state: this batch, at the first step of each of its windows but the first."""
        with torch.no_grad():
            empty = self.student.initial_memory(batch.batch_size).detach()
            memories = self.student.rollout(batch.inputs, empty, batch.resets)
        arrays = {name: values.expand(count - 1, *values.shape) for name, values in _arrays(batch).items()}
        return {**arrays, "memory": torch.stack([memories[:, g * width] for g in range(1, count)])}

    def _followed(self, batch: Batch, state: State) -> tuple[dict[str, Tensor], State]:
        """Train on the next part of a stream, from the memories after the part before; the first starts from m_∅."""
        student, memory = self.student, state.get("memory")
        goes_on = memory is not None and memory.shape[:2] == (1, batch.batch_size)
        start = memory[0] if memory is not None and goes_on else student.initial_memory(batch.batch_size)
        loss, last = self._windowed(batch, start, None)
        return {"loss": loss, "readout": loss}, {"memory": last[None]}

    def _cut(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Roll out from m_∅, with gradients cut at windows, from a random offset for each batch."""
        width, start = self.settings.window, self.student.initial_memory(batch.batch_size)
        first = int(torch.randint(width, (1,), generator=generator)) + 1 if width < batch.length else width
        loss, _ = self._windowed(batch, start, first)
        return {"loss": loss, "readout": loss}

    def _windowed(
        self, batch: Batch, start: Float[Tensor, "B K d"], first: int | None
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "B K d"]]:
        """Return the loss of a rollout that is cut at windows, and the memory after it."""
        student = self.student
        features, last = cut_rollout(
            student,
            batch.inputs,
            start,
            self.settings.window,
            resets=batch.resets,
            first=first,
        )
        return readout_loss(student.head, student.targets, features, batch.targets, batch.mask), last


def _arrays(batch: Batch) -> dict[str, Tensor]:
    """Return the arrays of an unfinished batch."""
    resets = {} if batch.resets is None else {"resets": batch.resets}
    return {"inputs": batch.inputs, "targets": batch.targets, "mask": batch.mask, **resets}


def _fits(state: State, batch: Batch, count: int) -> bool:
    """Return whether a state holds batches of this form, and the right number of unfinished batches."""
    if ("resets" in state) != (batch.resets is not None):
        return False
    return "inputs" in state and state["inputs"].shape == (count, *batch.inputs.shape)  # torch.compile checks it again
