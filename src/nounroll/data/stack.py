"""Stack operations: follow pushes and pops. It probes the tracking of a structured state."""

import numpy as np
import torch

from nounroll.core.batch import Batch, Categorical
from nounroll.data.checks import fraction, long_enough, whole_number
from nounroll.data.task import SequenceTask


class Stack(SequenceTask):
    """Read pushes, pops and queries of the top of a stack; output the popped or top symbol.

    ::

        inputs    2  0  T  -  3  -  -  1        a symbol is pushed, - pop, T top
        targets   .  .  0  0  .  3  2  .        scored at pops and tops

    Half of the other steps push and half pop, except that an empty stack is pushed and a full one popped. The height is
    a random walk between 0 and ``depth``, so the memory needs up to depth * log2(symbols) bits. Guessing gets 1 /
    symbols of the answers right, at ln(symbols) nats. The optimum is exact: accuracy 1, loss 0. Lengths from 2 up.

    Args:
        symbols: size of the alphabet; at least 2.
        depth: largest number of symbols on the stack; at least 1.
        tops: share of the steps that query the top of a non-empty stack. 0 is the probe of arXiv 2606.06479.
    """

    lengths = "any"

    def __init__(self, *, symbols: int = 4, depth: int = 10, tops: float = 0.25) -> None:
        whole_number("stack.symbols", symbols, 2)
        whole_number("stack.depth", depth, 1)
        fraction("stack.tops", tops)
        self.symbols, self.depth, self.tops = symbols, depth, tops
        self.pop, self.top = symbols, symbols + 1
        self.inputs, self.targets = Categorical(symbols + 2), Categorical(symbols)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        long_enough(self, length, 2)
        symbol = torch.randint(self.symbols, (batch_size, length), generator=generator).numpy()
        wants_top = (torch.rand(batch_size, length, generator=generator) < self.tops).numpy()
        wants_push = torch.randint(2, (batch_size, length), generator=generator).bool().numpy()
        inputs, targets = symbol.copy(), np.zeros_like(symbol)
        rows, height = np.arange(batch_size), np.zeros(batch_size, dtype=np.int64)
        stack = np.zeros((batch_size, self.depth), dtype=np.int64)
        for t in range(length):
            empty, full = height == 0, height == self.depth
            top = wants_top[:, t] & ~empty
            push = ~top & (empty | (wants_push[:, t] & ~full))
            pop = ~(top | push)
            targets[:, t] = np.where(push, 0, stack[rows, height - 1])
            stack[rows[push], height[push]] = symbol[push, t]
            height += push.astype(np.int64) - pop
            inputs[top, t], inputs[pop, t] = self.top, self.pop
        inputs, targets = torch.from_numpy(inputs), torch.from_numpy(targets)
        return Batch(inputs, targets, mask=inputs >= self.symbols)
