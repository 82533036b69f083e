"""What a user might write: cells and tasks of their own. No pytest here: deployed students import this file too."""

import torch
from torch import Tensor, nn

from nounroll.core.batch import Batch, Categorical, Real
from nounroll.data.task import SequenceTask


class OwnCell(nn.Module):
    """The least a cell can be: ``memory_shape`` and ``step``."""

    def __init__(self, symbols: int, width: int = 16) -> None:
        super().__init__()
        self.memory_shape = (1, width)
        self.of_input, self.of_memory = nn.Embedding(symbols, width), nn.Linear(width, width)

    def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
        after = self.of_input(inputs) + torch.tanh(self.of_memory(memory[:, 0]))
        return nn.functional.rms_norm(after, after.shape[-1:])[:, None]


class OwnRealCell(nn.Module):
    """The same for Real inputs, and with a memory that is not a sphere."""

    def __init__(self, inputs: int, width: int = 16) -> None:
        super().__init__()
        self.memory_shape = (2, width // 2)
        self.update = nn.Linear(inputs + width, width)

    def constrain(self, raw: Tensor) -> Tensor:
        return raw.tanh()

    def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
        return torch.tanh(self.update(torch.cat([inputs, memory.flatten(1)], dim=1))).view_as(memory)


class CountingCell(OwnCell):
    """An own cell with a buffer that is no real number."""

    def __init__(self, symbols: int) -> None:
        super().__init__(symbols)
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
        return super().step(inputs, memory)


class BrokenOnce(nn.Module):
    """An own cell whose step gives NaN on its ``bad`` calls, counted from 0."""

    def __init__(self, symbols: int, bad: set[int], width: int = 16) -> None:
        super().__init__()
        self.inner, self.bad, self.calls = OwnCell(symbols, width), bad, 0
        self.memory_shape = self.inner.memory_shape

    def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
        after = self.inner.step(inputs, memory)
        self.calls += 1
        return after * torch.nan if self.calls - 1 in self.bad else after


class Echo(SequenceTask):
    """Say the symbol of one step ago; the first target is 0."""

    inputs, targets = Categorical(5), Categorical(5)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = torch.randint(5, (batch_size, length), generator=generator)
        y = torch.cat([torch.zeros(batch_size, 1, dtype=torch.int64), x[:, :-1]], dim=1)
        return Batch(inputs=x, targets=y)


class RunningMean(SequenceTask):
    """Real inputs and targets: the mean of what was read so far."""

    inputs, targets = Real(2), Real(2)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = torch.randn(batch_size, length, 2, generator=generator)
        return Batch(inputs=x, targets=x.cumsum(1) / torch.arange(1, length + 1)[:, None])


class OneLength(Echo):
    """A task that has sequences of one length, and says so in a way of its own."""

    def __init__(self, length: int, refuse: type[Exception] | None = None) -> None:
        self.length, self.refuse, self.asked = length, refuse, set[int]()

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        self.asked.add(length)
        if length != self.length and self.refuse is not None:
            raise self.refuse(f"only {self.length}")
        return super().sample(batch_size, self.length, generator)
