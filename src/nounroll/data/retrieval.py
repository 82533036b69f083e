"""Retrieval: remember one symbol, shown early among noise, until the end. It probes gradient stability."""

import torch

from nounroll.core.batch import Batch, Categorical
from nounroll.data.checks import long_enough, whole_number
from nounroll.data.task import SequenceTask


class Retrieval(SequenceTask):
    """Output at the end the symbol that followed the marker near the start.

    ::

        inputs    5  2  M  7  0  7  3  1  6  2  4  Q        M marker, Q query
        targets   .  .  .  .  .  .  .  .  .  .  .  7        only the last is scored

    The marker is in the first quarter. The noise has the same symbols as the payload. Guessing gets 1 / values of the
    answers right, at a loss of ln(values) nats. The optimum is exact: accuracy 1, loss 0. Lengths from 4 up.

    Args:
        values: number of symbols of the payload and the noise; at least 2.
    """

    lengths = "any"

    def __init__(self, *, values: int = 8) -> None:
        whole_number("retrieval.values", values, 2)
        self.values, self.marker, self.query = values, values, values + 1
        self.inputs, self.targets = Categorical(values + 2), Categorical(values)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        long_enough(self, length, 4)
        rows = torch.arange(batch_size)
        inputs = torch.randint(self.values, (batch_size, length), generator=generator)
        marked = torch.randint(length // 4, (batch_size,), generator=generator)
        inputs[rows, marked] = self.marker
        inputs[:, -1] = self.query
        targets = torch.zeros_like(inputs)
        targets[:, -1] = inputs[rows, marked + 1]
        mask = torch.zeros_like(inputs, dtype=torch.bool)
        mask[:, -1] = True
        return Batch(inputs, targets, mask)
