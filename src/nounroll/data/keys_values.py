"""Keys-Values: output the value that was shown with a key. It probes associative recall."""

import torch
from jaxtyping import Int
from torch import Tensor

from nounroll.core.batch import Batch, Categorical
from nounroll.data.checks import flag, long_enough, number, whole_number
from nounroll.data.task import SequenceTask


class KeysValues(SequenceTask):
    """Read pairs of a key and its value; when a key appears again, output its value.

    ::

        inputs    k2 v0 k7 v4 k1 v0  _  _  _  k1 k7 k2      3 pairs, then as many queries at the end; _ blank
        targets   .  .  .  .  .  .   .  .  .  v0 v4 v0      scored at the queries

        inputs    k2 v0 k7 v4 k1 v0 k7 _  _  _  k2 _ k1 _   mqar: the queries come at any even distance
        targets   .  .  .  .  .  .  v4 .  .  .  v0 . v0 .

    The keys of a sequence are distinct; values may repeat. Before the queries the memory must hold all keys with their
    values, which needs pairs * log2(values) bits for the values alone. Guessing gets 1 / values right, at ln(values)
    nats. The optimum is exact: accuracy 1, loss 0. Sequences have all pairs from length 2 * pairs + queries up, with
    mqar from 4 * pairs. Shorter sequences have fewer pairs and are easier.

    The layout mqar follows multi-query associative recall (Arora et al. 2023, "Zoology", arXiv 2312.04927): every key
    is queried once, pair i at step 2 * pairs + 2 * g_i. The g_i are distinct and drawn with probability proportional to
    (g + 1)^(gap_power - 1), so that most queries come early.

    Args:
        keys: number of different keys; at least ``pairs``.
        values: number of different values; at least 2.
        pairs: number of pairs in a long enough sequence; at least 1.
        queries: number of queries at the end, for distinct keys: 1 to ``pairs``; None: all pairs. Not for mqar.
        mqar: use the layout of multi-query associative recall.
        gap_power: exponent for mqar; more than 0. 1 spreads the queries evenly.
        noise: replace the blanks by random keys and values, which are not scored.
    """

    lengths = "any"

    def __init__(
        self,
        *,
        keys: int = 16,
        values: int = 8,
        pairs: int = 8,
        queries: int | None = None,
        mqar: bool = False,
        gap_power: float = 0.01,
        noise: bool = False,
    ) -> None:
        whole_number("keys_values.keys", keys, 1)
        whole_number("keys_values.values", values, 2)
        whole_number("keys_values.pairs", pairs, 1, keys)
        if queries is not None:
            whole_number("keys_values.queries", queries, 1, pairs)
            if mqar:
                raise ValueError(f"keys_values.queries is {queries}; with keys_values.mqar it must be null")
        flag("keys_values.mqar", mqar)
        flag("keys_values.noise", noise)
        if not number("keys_values.gap_power", gap_power) > 0:
            raise ValueError(f"keys_values.gap_power is {gap_power}; it must be more than 0")
        self.keys, self.values, self.pairs = keys, values, pairs
        self.queries, self.mqar, self.gap_power, self.noise = queries or pairs, mqar, gap_power, noise
        self.blank = keys + values
        self.inputs, self.targets = Categorical(keys + values + 1), Categorical(values)

    def fitting(self, length: int) -> tuple[int, int]:
        """Count the pairs and queries that fit into a sequence of this length."""
        long_enough(self, length, 4 if self.mqar else 3)
        room = length // 4 if self.mqar else max(min(length // 3, self.queries), (length - self.queries) // 2)
        pairs = min(room, self.pairs)
        return pairs, min(pairs, self.queries)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        pairs, queries = self.fitting(length)
        size, rows = (batch_size, length), torch.arange(batch_size)[:, None]
        keys = torch.rand(batch_size, self.keys, generator=generator).argsort(1)[:, :pairs]
        values = torch.randint(self.values, (batch_size, pairs), generator=generator)
        inputs = torch.full(size, self.blank)
        if self.noise:
            inputs = torch.randint(self.keys + self.values, size, generator=generator)
        inputs[:, : 2 * pairs] = torch.stack([keys, self.keys + values], dim=-1).flatten(1)
        steps, asked = self._queries(batch_size, length, pairs, queries, generator)
        inputs[rows, steps] = keys[rows, asked]
        targets = torch.zeros(size, dtype=torch.int64)
        targets[rows, steps] = values[rows, asked]
        mask = torch.zeros(size, dtype=torch.bool)
        mask[rows, steps] = True
        return Batch(inputs, targets, mask)

    def _queries(
        self, batch_size: int, length: int, pairs: int, queries: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, "B Q"], Int[Tensor, "B Q"]]:
        """Draw the steps of the queries and their pairs."""
        if self.mqar:
            chance = torch.arange(1, (length - 2 * pairs) // 2 + 1, dtype=torch.float64) ** (self.gap_power - 1)
            gaps = torch.multinomial(chance.expand(batch_size, -1), pairs, generator=generator)
            return 2 * (pairs + gaps), torch.arange(pairs).expand(batch_size, -1)
        asked = torch.rand(batch_size, pairs, generator=generator).argsort(1)[:, :queries]
        return torch.arange(length - queries, length).expand(batch_size, -1), asked
