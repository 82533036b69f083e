"""Embedding of inputs of any space as vectors."""

import math
from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.core.batch import Space


class InputEmbedding(nn.Module):
    """Learnt table for symbols, or linear map for standardised vectors.

    Args:
        space: space of the inputs.
        width: width of the vectors.
        scale: initial standard deviation of the table's entries. A cell adds the input to values from a
            memory of about that size; a much smaller input is never noticed.
    """

    def __init__(self, space: Space, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.space = space
        self.map: Any = space.embed(width, scale)

    @classmethod
    def for_gates(cls, space: Space, width: int) -> "InputEmbedding":
        """Build the embedding of a gated cell: a symbol's vector is no longer than one of the width that it needs.

        In a wide table rules of few symbols are learnt sooner; with longer vectors strings were copied worse
        (docs/lab-notes.md).
        """
        return cls(space, width, min(1.0, math.sqrt(space.detail / width)))

    def forward(self, inputs: Shaped[Tensor, "..."]) -> Float[Tensor, "... width"]:
        entered = self.space.enter(inputs)
        if entered.is_floating_point():
            entered = entered.to(next(self.map.parameters()).dtype)
        return self.map(entered)
