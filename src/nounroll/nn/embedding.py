"""Inputs of either space -> vectors."""

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.batch import Categorical, Space


class InputEmbedding(nn.Module):
    """A learnt table for Categorical inputs, a linear map for Real ones."""

    def __init__(self, space: Space, width: int) -> None:
        super().__init__()
        if isinstance(space, Categorical):
            self.map = nn.Embedding(space.n, width)
            nn.init.normal_(self.map.weight, std=width**-0.5)
        else:
            self.map = nn.Linear(space.d, width)

    def forward(self, inputs: Shaped[Tensor, "..."]) -> Float[Tensor, "... width"]:
        return self.map(inputs)
