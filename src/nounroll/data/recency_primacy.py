"""Recency and primacy: output the symbol at a distance from now or from the start. It probes a memory's content."""

import torch

from nounroll.core.batch import Batch, Categorical
from nounroll.data.checks import flag, fraction, long_enough, whole_number
from nounroll.data.scored import scored_steps
from nounroll.data.task import SequenceTask


class RecencyPrimacy(SequenceTask):
    """Output at every step the symbol read ``distance`` steps ago, or ``distance`` steps after the start.

    ::

        inputs    3  1  4  1  5  2  6        distance 2
        targets   .  .  3  1  4  1  5        recency: a delay line, x_{t - 2}
                  .  .  4  4  4  4  4        primacy: x_2, kept for ever

    Recency must hold distance + 1 symbols and shift all of them at each step; primacy must count up to the distance,
    then hold one symbol. Steps are scored from ``distance`` on. Guessing gets 1 / symbols right, at ln(symbols) nats.
    The optimum is exact: accuracy 1, loss 0. Lengths from distance + 1 up.

    Args:
        symbols: size of the alphabet; at least 2.
        distance: in time steps; at least 0.
        primacy: measure the distance from the start instead of from now.
        scored: share of these steps to score, drawn at random in each sequence; the last step is always scored.
    """

    lengths = "any"

    def __init__(self, *, symbols: int = 8, distance: int = 8, primacy: bool = False, scored: float = 1.0) -> None:
        whole_number("recency_primacy.symbols", symbols, 2)
        whole_number("recency_primacy.distance", distance, 0)
        flag("recency_primacy.primacy", primacy)
        fraction("recency_primacy.scored", scored)
        self.symbols, self.distance, self.primacy, self.scored = symbols, distance, primacy, scored
        self.inputs = self.targets = Categorical(symbols)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        d = self.distance
        long_enough(self, length, d + 1)
        inputs = torch.randint(self.symbols, (batch_size, length), generator=generator)
        targets = torch.zeros_like(inputs)
        targets[:, d:] = inputs[:, d : d + 1] if self.primacy else inputs[:, : length - d]
        mask = scored_steps(batch_size, length, self.scored, generator)
        mask[:, :d] = False
        return Batch(inputs, targets, mask)
