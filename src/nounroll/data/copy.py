"""String copy: remember a whole random string, then output it. It probes the capacity of the memory."""

import torch

from nounroll.core.batch import Batch, Categorical
from nounroll.data.checks import flag, long_enough, whole_number
from nounroll.data.task import SequenceTask


class StringCopy(SequenceTask):
    """Read n symbols, then output them while reading blanks.

    ::

        inputs    3  1  4  1  D  _  _  _  _  _         D delimiter, _ blank; T = 10, n = 4
        targets   .  .  .  .  .  3  1  4  1  .         scored where shown; reversed: 1 4 1 3

    n = (T - 1) // 2; for an even T the last step is not scored. The inputs are blank during the output, so at the
    delimiter the memory must hold all n symbols, n * log2(symbols) bits. Guessing gets 1 / symbols right, at
    ln(symbols) nats per symbol. The optimum is exact: accuracy 1, loss 0. Lengths from 3 up.

    Args:
        symbols: size of the alphabet; at least 2.
        reverse: output the string from its end to its start, like a stack.
    """

    lengths = "any"

    def __init__(self, *, symbols: int = 8, reverse: bool = False) -> None:
        whole_number("copy.symbols", symbols, 2)
        flag("copy.reverse", reverse)
        self.symbols, self.delimiter, self.blank = symbols, symbols, symbols + 1
        self.reverse = reverse
        self.inputs, self.targets = Categorical(symbols + 2), Categorical(symbols)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        long_enough(self, length, 3)
        n = (length - 1) // 2
        string = torch.randint(self.symbols, (batch_size, n), generator=generator)
        inputs = torch.full((batch_size, length), self.blank)
        inputs[:, :n], inputs[:, n] = string, self.delimiter
        targets = torch.zeros_like(inputs)
        targets[:, n + 1 : 2 * n + 1] = string.flip(1) if self.reverse else string
        mask = torch.zeros_like(inputs, dtype=torch.bool)
        mask[:, n + 1 : 2 * n + 1] = True
        return Batch(inputs, targets, mask)
