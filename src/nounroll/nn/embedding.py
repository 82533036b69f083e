"""Inputs of any space -> vectors."""

from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.core.batch import Space


class InputEmbedding(nn.Module):
    """A learnt table for symbols, a linear map for vectors, which it standardises.

    Args:
        space: of the inputs.
        width: of the vectors.
        scale: standard deviation of the table's numbers at first. A cell adds the input to what it reads from a
            memory of about that size; an input that is much smaller is never noticed.
    """

    def __init__(self, space: Space, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.space = space
        self.map: Any = space.embed(width, scale)

    def forward(self, inputs: Shaped[Tensor, "..."]) -> Float[Tensor, "... width"]:
        entered = self.space.enter(inputs)
        if entered.is_floating_point():
            entered = entered.to(next(self.map.parameters()).dtype)
        return self.map(entered)
