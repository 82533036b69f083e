"""Parity: the running parity of a bit string. It probes the tracking of a state."""

import torch

from nounroll.core.batch import Batch, Categorical
from nounroll.data.checks import fraction
from nounroll.data.scored import scored_steps
from nounroll.data.task import SequenceTask


class Parity(SequenceTask):
    """Output at every step whether the number of ones so far is odd.

    ::

        inputs    1  0  1  1  0  1
        targets   1  1  0  1  1  0        every step is scored
                  .  1  .  .  .  0        scored 0.25: about a quarter of them, and the last

    One bit of memory is enough, but each input matters: a model that misses one bit is at chance afterwards (accuracy
    1/2, ln 2 nats). The optimum is exact: accuracy 1, loss 0. Any length.

    Args:
        scored: share of scored steps, drawn at random in each sequence; the last step is always scored. A smaller share
            reveals the state less often; 0 reveals it only at the end.
    """

    lengths = "any"

    def __init__(self, *, scored: float = 1.0) -> None:
        fraction("parity.scored", scored)
        self.scored = scored
        self.inputs = self.targets = Categorical(2)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        bits = torch.randint(2, (batch_size, length), generator=generator)
        mask = scored_steps(batch_size, length, self.scored, generator)
        return Batch(inputs=bits, targets=bits.cumsum(1) % 2, mask=mask)
