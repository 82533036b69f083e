"""A package that adds one part of each kind by entry points. It changes no file of nounroll's."""

from typing import Any

import torch
from torch import Tensor, nn

from nounroll.core.batch import Batch, Categorical
from nounroll.core.spaces import Space, register_space
from nounroll.data.task import SequenceTask
from nounroll.methods.base import Method, State
from nounroll.models.student import Student
from nounroll.nn.embedding import InputEmbedding
from nounroll.objectives.readout import readout_loss
from nounroll.teacher.causal import CausalEncoder

ENTRY_POINTS = """
[nounroll.cells]
leaky = added_parts:LeakyCell
[nounroll.tasks]
echo = added_parts:Echo
[nounroll.spaces]
letters = added_parts:Letters
[nounroll.teachers]
averaged = added_parts:AveragedEncoder
[nounroll.methods]
last_step = added_parts:LastStep
"""


class LeakyCell(nn.Module):
    """m' = m + leak (tanh(W x) - m): it takes neither width nor layers nor keep."""

    def __init__(self, inputs: Space, memory_shape: tuple[int, int]) -> None:
        super().__init__()
        self.memory_shape = memory_shape
        self.embed = InputEmbedding(inputs, memory_shape[0] * memory_shape[1])
        self.leak = nn.Parameter(torch.tensor(0.0))

    def constrain(self, raw: Tensor) -> Tensor:
        return raw.tanh()

    def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
        return memory + self.leak.sigmoid() * (self.embed(inputs).tanh().view_as(memory) - memory)


@register_space("letters")
class Letters(Categorical):
    """Categorical by another name in files."""


class Echo(SequenceTask):
    """Say the input of one step ago."""

    def __init__(self, *, symbols: int = 3) -> None:
        self.inputs = self.targets = self.letters = Letters(symbols)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = torch.randint(self.letters.n, (batch_size, length), generator=generator)
        return Batch(inputs=x, targets=x.roll(1, 1))


class AveragedEncoder(nn.Module):
    """The mean of the causal encoder's states so far."""

    all_at_once = True

    def __init__(self, settings: Any, inputs: Space, *_: Any, recompute: bool = False) -> None:
        super().__init__()
        self.inner = CausalEncoder(settings, inputs, recompute=recompute)
        self.width = self.inner.width

    def read(self, inputs: Tensor) -> Tensor:
        states = self.inner.read(inputs)
        return states.cumsum(1) / torch.arange(1, states.shape[1] + 1, device=states.device)[:, None]

    def at(self, states: Tensor, positions: Tensor | None) -> Tensor:
        return self.inner.at(states, positions)


class LastStep(Method):
    """BPTT of the last scored step alone."""

    summary = "It learnt from last steps."

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(
        self, batch: Batch, state: State, generator: torch.Generator, progress: float
    ) -> tuple[dict[str, Tensor], State]:
        features, _ = self.student.features(batch.inputs)
        last = (slice(None), slice(-1, None))
        loss = readout_loss(
            self.student.head, self.student.targets, features[last], batch.targets[last], batch.mask[last]
        )
        return {"loss": loss}, {}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return per_token * length
