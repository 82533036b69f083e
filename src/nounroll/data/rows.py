"""Stored sequences of the same length, each read from its first element on."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Integer
from torch import Tensor

from nounroll.core.batch import Batch, Categorical
from nounroll.data.checks import row_ends, within_space
from nounroll.data.task import SequenceTask

_PADDING = (-1, -100)  # usual padding after the end of a sequence


class TokenRows(SequenceTask):
    """N sequences of L symbols, each after a START symbol, so that the first symbol is predicted too.

    ::

        row       p_0    p_1  p_2  ...  p_{L-1}
        inputs    START  p_0  p_1  ...  p_{T-2}
        targets   p_0    p_1  p_2  ...  p_{T-1}        y_t = x_{t+1}, every step is scored

    A length T < L reads the first T symbols of every row. Rows may end in padding, -1 or -100, which is never scored.

    Args:
        tokens: (N, L) integers, in memory or memory-mapped.
        held_out: indices of the held-out rows, the first half for validation, the second for the test; a single row is
            used for both.
        held_tokens: (M, L), an array that holds the held-out rows; then all rows of ``tokens`` are for training.
        symbols: the tokens are 0 .. symbols - 1, and START is ``symbols``.
        name: the data's name in errors, for example a file.
    """

    lengths = "any"
    autoregressive = True

    def __init__(
        self,
        *,
        tokens: Integer[np.ndarray, "N L"],
        held_out: Int[np.ndarray, "M"],
        held_tokens: Integer[np.ndarray, "M L"] | None = None,
        symbols: int,
        name: str = "tokens",
    ) -> None:
        rows = np.arange(len(tokens))
        if held_tokens is None:
            held_tokens, rows = tokens, np.setdiff1d(rows, held_out)
        for part, numbers in (("train on", rows), ("hold out", held_out)):
            if not len(numbers):
                raise ValueError(f"{name} has no sequence to {part}; it must have at least one")
        parts = [tokens] if held_tokens is tokens else [tokens, held_tokens]
        for part in parts:
            within_space(name, part, symbols, _PADDING)
        ends = [row_ends(name, part, _PADDING) for part in parts]
        self.start = symbols
        self.inputs, self.targets = Categorical(symbols + 1), Categorical(symbols)
        self.max_length = tokens.shape[1] if ends[0] is None else int(ends[0].max())
        self._tokens, self._held_tokens, self._held_out = tokens, held_tokens, held_out
        self._ends, self._held_ends = ends[0], ends[-1]
        self._choose(rows)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        return self.take(torch.randint(len(self._rows), (batch_size,), generator=generator), length)

    def take(self, indices: Int[Tensor, "B"], length: int) -> Batch:
        if length > self._tokens.shape[1]:
            raise ValueError(f"length is {length}; the stored sequences have {self._tokens.shape[1]} elements")
        chosen = self._rows[indices.numpy()]
        targets = torch.from_numpy(self._tokens[chosen, :length].astype(np.int64))
        mask = torch.ones_like(targets, dtype=torch.bool)
        if self._ends is not None:
            mask = torch.arange(length) < torch.from_numpy(self._ends[chosen])[:, None]
            targets = targets.where(mask, 0)
        start = targets.new_full((len(chosen), 1), self.start)
        return Batch(inputs=torch.cat([start, targets[:, :-1]], 1), targets=targets, mask=mask)

    def stored(self) -> tuple[np.ndarray, ...]:
        held = () if self._held_tokens is self._tokens else (self._held_tokens,)
        return (self._tokens, *held, self._held_out)

    def validation(self) -> "TokenRows":
        return self._over(self._held_out[: max(1, len(self._held_out) // 2)])

    def test(self) -> "TokenRows":
        return self._over(self._held_out[len(self._held_out) // 2 :])

    def _over(self, rows: Int[np.ndarray, "M"]) -> "TokenRows":
        sibling = copy.copy(self)
        sibling._tokens, sibling._ends = self._held_tokens, self._held_ends
        sibling._choose(rows)
        return sibling

    def _choose(self, rows: Int[np.ndarray, "M"]) -> None:
        self._rows, self.size = rows, len(rows)

    def speech(self) -> dict[str, Any]:
        return {"start": self.start}

    def speak(self, kept: Mapping[str, Any]) -> None:
        self.start = int(kept["start"])

    def prompt(self) -> Tensor:
        return torch.tensor([self.start])

    def encode(self, text: str) -> Tensor:
        """Parse symbols separated by spaces, and prepend START."""
        typed = super().encode(text)
        self.targets.check("prompt", typed)  # START is allowed only at the beginning
        return torch.cat([self.prompt(), typed])


def held_out_rows(name: str, count: int, held: int | None = None) -> Int[np.ndarray, "M"]:
    """Return the last ``held`` rows (a tenth when None) of a fixed permutation of ``count`` rows.

    NumPy guarantees that RandomState's stream never changes, so neither does the split.
    """
    if count < 2:
        raise ValueError(
            f"{name} has too few sequences, {count}; at least 2 are needed, one to train on and one to hold out"
        )
    return np.random.RandomState(0).permutation(count)[-(held or max(1, count // 10)) :]
