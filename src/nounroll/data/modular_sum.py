"""Modular sum: the running sum of numbers modulo n. It probes the tracking of a state of any size."""

import torch

from nounroll.core.batch import Batch, Categorical
from nounroll.data.checks import fraction, whole_number
from nounroll.data.scored import scored_steps
from nounroll.data.task import SequenceTask


class ModularSum(SequenceTask):
    """Output at every step the sum of the numbers so far, modulo n.

    ::

        inputs    3  1  4  0  2  4        n = 5
        targets   3  4  3  3  0  4        every step is scored
                  1  1  1  1  0  1        classes 2: sums 0..2 are class 0, sums 3..4 class 1
                  .  4  .  .  .  4        scored 0.25: about a quarter of the steps, and the last

    The state has n values, and each number matters: for a model that misses one number, the sum is uniform.
    Guessing gets 1 / n right, at ln(n) nats; with classes, at most the share of the largest class. The optimum is
    exact: accuracy 1, loss 0. Any length. With n = 2 this is Parity.

    Args:
        modulus: n; at least 2.
        classes: 2 to n: the target is the sum's range among this number of nearly equal ranges, so that no single
            target reveals the state. None: the target is the sum itself.
        scored: share of scored steps, drawn at random in each sequence; the last step is always scored.
    """

    lengths = "any"

    def __init__(self, *, modulus: int = 5, classes: int | None = None, scored: float = 1.0) -> None:
        whole_number("modular_sum.modulus", modulus, 2)
        if classes is not None:
            whole_number("modular_sum.classes", classes, 2, modulus)
        fraction("modular_sum.scored", scored)
        self.modulus, self.classes, self.scored = modulus, classes or modulus, scored
        self.inputs, self.targets = Categorical(modulus), Categorical(self.classes)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        inputs = torch.randint(self.modulus, (batch_size, length), generator=generator)
        sums = inputs.cumsum(1) % self.modulus
        mask = scored_steps(batch_size, length, self.scored, generator)
        return Batch(inputs, sums * self.classes // self.modulus, mask)
