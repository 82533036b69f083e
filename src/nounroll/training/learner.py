"""Online learning: a network that continues to learn from the data that arrives."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from nounroll.core.batch import Batch
from nounroll.core.notices import notice
from nounroll.core.plain import plain
from nounroll.core.ranges import at_least, more_than
from nounroll.core.seeding import generator
from nounroll.data.padding import without_padding
from nounroll.data.stream import missing
from nounroll.methods import TBPTT, TBPTTSettings
from nounroll.methods.base import State
from nounroll.models.generation import can_feed
from nounroll.models.student import CONFIG, WEIGHTS, Student
from nounroll.storage import checkpoint
from nounroll.training.chunks import as_rows, take_scale
from nounroll.training.optimizer import load_optimizer_state, optimizer_state

_BETAS, _CLIP = (0.9, 0.95), 1.0  # as in the loop
_KEPT = ("rows", "window", "learning_rate", "steps", "skipped")  # plain values of a snapshot
_STREAM, _OPTIMIZER = "stream", "optimizer"  # groups of tensors, in addition to the student's


class StreamLearner:
    """A student that learns from chunks of endless streams, and keeps memory and optimiser between calls.

    ::

        learner = StreamLearner(student)
        learner.partial_fit(x, y)        # truncated BPTT; learner.loss is the loss before each update
        learner.predict(x_new)           # continues from the memory, which does not change
        learner.save("snapshot")         # StreamLearner.load("snapshot") continues exactly

    Args:
        student: trained or new; it is changed in place. A new student takes the scale of real numbers from the first
            chunk, permanently: start with a long chunk.
        rows: number of parallel streams.
        window: time steps per update; no gradient goes back further.
        learning_rate: learning rate of AdamW, without a schedule.

    Attributes:
        memory: (B, K, d) after everything that was read.
        loss: nats per scored element of the last chunk, each window measured before its update; nan if no element
            was scored.
        steps: number of updates so far.
        skipped: updates that were skipped because their loss or gradient was not finite.
    """

    def __init__(self, student: Student, *, rows: int = 1, window: int = 32, learning_rate: float = 2e-3) -> None:
        at_least("rows", rows, 1)
        at_least("window", window, 1)
        more_than("learning_rate", learning_rate, 0)
        self.student, self.rows, self.window, self.learning_rate = student, rows, window, learning_rate
        self._method = TBPTT(student, TBPTTSettings(window=window), stream=True)
        self._optimizer = torch.optim.AdamW(student.parameters(), lr=learning_rate, betas=_BETAS, weight_decay=0.01)
        self.loss, self.steps, self.skipped = float("nan"), 0, 0
        self._state: State = {}
        self._pending: Tensor | None = None  # the last input of each row, whose target has not arrived
        self._begun = torch.ones(rows, dtype=torch.bool)  # rows without a valid pending input
        self._fresh = torch.ones(rows, dtype=torch.bool)  # rows that start from m_∅ at their next input

    @property
    def memory(self) -> Float[Tensor, "B K d"]:
        if not self._state:
            return self.student.initial_memory(self.rows).detach()
        memory = self._state["memory"][0]
        return self.student.reset(memory, self._fresh.to(memory.device)).detach()

    def partial_fit(self, x: Any, y: Any = None) -> "StreamLearner":
        """Learn from the next chunk.

        Args:
            x: (T,) or (T, d) of one stream, (B, T) or (B, T, d) of several.
            y: a target for each input, nan or -100 if it has none. By default the target is the next element; that of
                the last element is then the first element of the next chunk.

        Raises:
            ValueError: values are not of the student's spaces, or the number of rows differs.
        """
        student = self.student
        inputs = as_rows("x", x, student.inputs, self.rows)
        targets = None if y is None else as_rows("y", y, student.targets, self.rows)
        if targets is not None and targets.shape[1] != inputs.shape[1]:
            raise ValueError(f"y has {targets.shape[1]} steps and x {inputs.shape[1]}; they must be equal")
        batch = self._followed(inputs) if targets is None else self._given(inputs, targets)
        batch = without_padding(batch.in_spaces(student.inputs, student.targets), student.inputs, student.targets)
        batch.check(type(self).__name__, student.inputs, student.targets, self.rows, batch.length)
        if not (self.steps or student.trained_on):
            take_scale(student, inputs, targets)
        self._fresh = self._fresh & (self._first_place >= batch.length)
        self._pending = inputs[:, -1:].clone() if targets is None else None
        self._begun = torch.full_like(self._begun, targets is not None)
        total, scored = 0.0, 0
        for start in range(0, batch.length, self.window):
            part = batch.times(start, start + self.window)
            if count := int(part.mask.sum()):
                total, scored = total + self._learn(part) * count, scored + count
            else:
                with torch.no_grad():
                    self._forward(part)
        self.loss = total / scored if scored else float("nan")
        return self

    def predict(self, x: Any = None) -> Shaped[np.ndarray, "..."]:
        """Predict after each element of the next chunk: the most likely symbol, or the mean.

        If the stream has no separate targets, the last element of the previous chunk is read first: ``predict()``
        predicts the next element. For a row that was reset since, the first two predictions are then the same: both
        follow the first element of ``x``.

        Args:
            x: as for ``partial_fit``.

        Raises:
            ValueError: there is nothing to read, or values are not of the student's input space.
        """
        if x is None and self._begun.any():
            which = "" if self._begun.all() else f" in rows {self._begun.nonzero()[:, 0].tolist()}"
            raise ValueError(f"x is not given, and nothing was read before{which}; give x")
        read = [] if self._pending is None else [self._pending]
        read += [] if x is None else [as_rows("x", x, self.student.inputs, self.rows)]
        if len(read) == 2:
            begun = self._begun.view(-1, *[1] * (read[1].dim() - 1))
            read[0] = torch.where(begun, read[1][:, :1], read[0])
        whole, resets = self._joined(read)
        student, device = self.student, self.student.empty_memory.device
        student.inputs.check("x", inputs := student.inputs.convert(whole))
        with torch.no_grad():
            outputs, _ = student.outputs(inputs.to(device), self.memory, None if resets is None else resets.to(device))
        found = student.targets.mean(outputs).cpu().numpy()
        return found[0] if self.rows == 1 else found

    def reset(self, done: Any = None) -> "StreamLearner":
        """Reset the memory of the rows that are ``done``, (B,) bool, to m_∅; of all rows by default. Weights stay."""
        ended = torch.ones(self.rows, dtype=torch.bool) if done is None else torch.as_tensor(done).cpu().flatten()
        if ended.dtype != torch.bool or len(ended) != self.rows:
            raise ValueError(f"done is {done!r}; it must hold {self.rows} truth values, one for each row")
        self._fresh, self._begun = self._fresh | ended, self._begun | ended
        self._state = {} if self._fresh.all() else {"memory": self.memory[None]}
        if self._begun.all():
            self._pending = None
        return self

    def save(self, folder: str | Path) -> None:
        """Write a snapshot: the student (``Student.from_pretrained`` opens it too), its memory and the optimiser state.

        Raises:
            CheckpointError: the folder holds something else, or cannot be written.
        """
        moments, document = optimizer_state(self._optimizer)
        pending = {} if self._pending is None else {"pending": self._pending}
        stream = {"memory": self.memory, "begun": self._begun, "fresh": self._fresh, **pending}
        settings = plain({name: getattr(self, name) for name in _KEPT})
        tensors = {Path(WEIGHTS).stem: self.student.state_dict(), _STREAM: stream, _OPTIMIZER: moments}
        documents = {Path(CONFIG).stem: self.student.to_config(), "learner": {**settings, _OPTIMIZER: document}}
        checkpoint.write(Path(folder), {k: v for k, v in tensors.items() if v}, documents)

    @classmethod
    def load(
        cls, folder: str | Path, cell: nn.Module | None = None, *, device: torch.device | str = "cpu"
    ) -> "StreamLearner":
        """Load the learner that ``save`` wrote; it continues exactly where the saved one stopped.

        Args:
            folder: folder of the snapshot.
            cell: a module of the same class and sizes, for a student with the user's own cell.
            device: device of the student, its memory and the optimiser.

        Raises:
            ValueError: the folder holds no snapshot, or a damaged one.
        """
        student = Student.from_pretrained(folder, cell).to(device)
        tensors, documents = checkpoint.read(Path(folder))
        try:
            kept = dict(documents["learner"])
            document, stream = kept.pop(_OPTIMIZER), tensors[_STREAM]
            steps, skipped = kept.pop("steps"), kept.pop("skipped")
            learner = cls(student, **kept)
            load_optimizer_state(learner._optimizer, tensors.get(_OPTIMIZER, {}), document)
            learner.steps, learner.skipped = steps, skipped
            learner._begun, learner._pending = stream["begun"], stream.get("pending")
            pending_only = learner._begun & (learner._pending is not None)
            learner._fresh = stream.get("fresh", pending_only)  # a snapshot of 0.1 lacks it
            learner._state = {} if learner._fresh.all() else {"memory": stream["memory"][None].to(device)}
            if stream["memory"].shape != (learner.rows, *student.memory_shape) or len(stream["begun"]) != learner.rows:
                raise ValueError(f"its memory has the shape {tuple(stream['memory'].shape)}")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder} holds no snapshot of a learner: {checkpoint.one_line(error)}") from error
        return learner

    def _learn(self, part: Batch) -> float:
        """Make one update; return the loss before it."""
        before, loss = self._state, self._forward(part)["loss"]
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.student.parameters(), _CLIP)
        if not (loss.isfinite() and norm.isfinite()):
            self._state, self.skipped = before, self.skipped + 1
            notice(f"an update was skipped, because its loss was {loss.item():g} and its gradient {norm.item():g}")
            return loss.item()
        self._optimizer.step()
        self.steps += 1
        return loss.item()

    def _forward(self, part: Batch) -> dict[str, Tensor]:
        device = self.student.empty_memory.device
        losses, self._state = self._method(part.to(device), self._state, generator(0, "learner"), 0.0)
        return losses

    def _followed(self, inputs: Shaped[Tensor, "B T *x"]) -> Batch:
        """Prepend the pending element to the chunk; each element is the target of the one before."""
        if not can_feed(self.student.targets, self.student.inputs):
            spaces = f"targets are {self.student.targets}, inputs {self.student.inputs}"
            raise ValueError(f"y is not given, and {spaces}; give y")
        whole, resets = self._joined([inputs] if self._pending is None else [self._pending, inputs])
        mask = torch.ones(self.rows, whole.shape[1] - 1, dtype=torch.bool)
        if resets is not None:
            mask[:, 0] = ~self._begun
        return Batch(whole[:, :-1], whole[:, 1:], mask, None if resets is None else resets[:, :-1])

    def _given(self, inputs: Shaped[Tensor, "B T *x"], targets: Shaped[Tensor, "B T *y"]) -> Batch:
        """Combine the chunk with its targets; the pending element before it is read, but not scored."""
        mask, read = ~missing(targets), [inputs]
        if self._pending is not None:
            read = [self._pending, inputs]
            targets = torch.cat([targets[:, :1], targets], dim=1)
            mask = torch.cat([torch.zeros_like(mask[:, :1]), mask], dim=1)
        whole, resets = self._joined(read)
        return Batch(whole, targets, mask, resets)

    @property
    def _first_place(self) -> Int[Tensor, "B"]:
        """Index of the next valid input of each row among the inputs read: after a pending input that is not valid."""
        return (self._begun & (self._pending is not None)).long()

    def _joined(self, read: list[Tensor]) -> tuple[Shaped[Tensor, "B T *x"], Bool[Tensor, "B T"] | None]:
        """Concatenate the inputs to read, with resets before the next inputs of rows that were reset."""
        whole = torch.cat(read, dim=1)
        resets = self._fresh[:, None] & (torch.arange(whole.shape[1]) == self._first_place[:, None])
        if not self._state:  # all start from m_∅
            resets[:, 0] = False
        return whole, resets if resets.any() else None
