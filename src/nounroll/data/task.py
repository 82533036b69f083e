"""What a task is: a source of batches. The user's own data enters the library here."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from nounroll.batch import Batch, Categorical, Real, Space
from nounroll.seeding import generator


class SequenceTask(ABC):
    """A source of sequences. Subclass it, name the two spaces, and write ``sample``.

    Attributes:
        inputs: the space of ``x_t``.
        targets: the space of ``y_t``.
        max_length: the longest T that ``sample`` can give; None when there is no limit.
        autoregressive: True when ``y_t`` is the next input, so that the student can generate.
    """

    inputs: Space
    targets: Space
    max_length: int | None = None
    autoregressive: bool = False

    @abstractmethod
    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        """A batch drawn with ``generator`` alone: the same generator state, the same batch."""

    def validation(self) -> "SequenceTask":
        """The same task over held-out data. A task that makes its data up may return itself."""
        return self

    def prompt(self) -> Tensor:
        """The inputs (P,) or (P, d) that generation starts from when the user gives none."""
        shape = (1, *self.inputs.event_shape)
        return torch.zeros(shape, dtype=torch.int64 if isinstance(self.inputs, Categorical) else torch.float32)

    def encode(self, text: str) -> Tensor:
        """A prompt typed by a person -> inputs (P,) or (P, d). Default: numbers between spaces."""
        try:
            words = text.replace(",", " ").split()
            if isinstance(self.inputs, Real):
                return torch.tensor([float(word) for word in words]).reshape(-1, self.inputs.d)
            tokens = torch.tensor([int(word) for word in words], dtype=torch.int64)
        except (ValueError, RuntimeError):
            raise ValueError(f"prompt is {text!r}; this task reads numbers between spaces") from None
        self.inputs.check("prompt", tokens)
        return tokens

    def decode(self, values: Tensor) -> str:
        """Generated values (P,) or (P, d) -> text for a person."""
        rows = values.tolist()
        return " ".join(str(v) if isinstance(v, int) else ",".join(f"{c:.4g}" for c in v) for v in rows)


def draw(task: SequenceTask, batch_size: int, length: int, seed: int, stream: str, step: int = 0) -> Batch:
    """The batch of (seed, stream, step), checked against the task's spaces.

    Raises:
        ValueError: the length is more than the data has, or ``sample`` gave something else than it promised.
    """
    if length < 1:
        raise ValueError(f"length is {length}; it must be at least 1")
    if task.max_length is not None and length > task.max_length:
        raise ValueError(f"length is {length}; {type(task).__name__} holds sequences of at most {task.max_length}")
    batch = task.sample(batch_size, length, generator(seed, stream, step))
    if not isinstance(batch, Batch):
        raise ValueError(
            f"{type(task).__name__}.sample returned {type(batch).__name__}; it must return a nounroll.Batch"
        )
    batch.check(type(task).__name__, task.inputs, task.targets, batch_size, length)
    return batch
