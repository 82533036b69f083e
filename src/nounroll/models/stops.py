"""Stops: sequences of symbols that end a generated text."""

import operator
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from nounroll.core.batch import Space

ENDED = -1  # replaces the symbols that a row would have after its end


class Stops:
    """Search for stops in the symbols of each row, one symbol at a time.

    Args:
        sequences: the stops; each is a symbol or a sequence of symbols.
        space: space of the symbols.
        rows: number of texts that are written in parallel.

    Raises:
        ValueError: a stop is empty or not a sequence of symbols of the space.
    """

    def __init__(self, sequences: Sequence[Any], space: Space, rows: int) -> None:
        self._stops = [_symbols(one, space) for one in sequences]
        longest = max(map(len, self._stops), default=1)
        self._last = torch.full((rows, longest), ENDED)
        self.ended: Bool[Tensor, "B"] = torch.zeros(rows, dtype=torch.bool)

    def add(self, drawn: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """Process the next symbol of each row, and return it; ``ENDED`` for the rows that had already ended."""
        shown = drawn.cpu().masked_fill(self.ended, ENDED)
        self._last = torch.cat([self._last[:, 1:], shown[:, None]], dim=1)
        for stop in self._stops:
            self.ended |= (self._last[:, -len(stop) :] == stop).all(dim=1)
        return shown.to(drawn.device)


def _symbols(stop: Any, space: Space) -> Int[Tensor, "S"]:
    if space.symbols is None:
        raise ValueError(f"stop is {stop!r}; targets are {space}, and only symbols can end a text")
    try:
        values = [operator.index(one) for one in (stop if hasattr(stop, "__iter__") else [stop])]
    except TypeError:
        raise ValueError(f"stop holds {stop!r}; it must hold symbols, or sequences of symbols") from None
    if not values:
        raise ValueError("stop holds an empty sequence; it must have at least one symbol")
    space.check("stop", torch.tensor(values))
    return torch.tensor(values)
