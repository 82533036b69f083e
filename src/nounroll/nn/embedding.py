"""Inputs of either space -> vectors."""

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.batch import Categorical, Real, Space


class InputEmbedding(nn.Module):
    """A learnt table for Categorical inputs, a linear map for Real ones, which it standardises.

    Args:
        space: of the inputs.
        width: of the vectors.
        scale: standard deviation of the table's numbers at first. A cell adds the input to what it reads from a
            memory of about that size; an input that is much smaller is never noticed.
    """

    def __init__(self, space: Space, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.space = space
        if isinstance(space, Categorical):
            self.map = nn.Embedding(space.n, width)
            nn.init.normal_(self.map.weight, std=scale)
        else:
            self.map = nn.Linear(space.d, width)

    def forward(self, inputs: Shaped[Tensor, "..."]) -> Float[Tensor, "... width"]:
        if isinstance(self.space, Real):
            inputs = self.space.standardise(inputs).to(self.map.weight.dtype)
        return self.map(inputs)
