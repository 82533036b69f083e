"""MLP cell: a gated residual step on the flattened memory."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.cells.base import WIDEST
from nounroll.core.batch import Space
from nounroll.nn.embedding import InputEmbedding
from nounroll.nn.linear import Linear
from nounroll.nn.norm import rms_normalise


class MLPCell(nn.Module):
    """m' = rms(a * m + b), where the hidden layers compute a in (0, 1) and b from (m, x).

    Args:
        inputs: space of x_t.
        memory_shape: (K, d).
        width: width of the hidden layers; default K d, at most 256.
        layers: number of hidden layers; default 2. The first can select what the input asks for, and the second read
            it.
        keep: largest initial bias of the gate a. The biases of coordinates are spread evenly from 0 to ``keep``.
    """

    default_layers = 2

    @staticmethod
    def default_width(tokens: int, memory_width: int) -> int:
        return min(tokens * memory_width, WIDEST)

    def __init__(
        self,
        inputs: Space,
        memory_shape: tuple[int, int],
        *,
        width: int | None = None,
        layers: int | None = None,
        keep: float = 0.0,
    ) -> None:
        super().__init__()
        self.memory_shape = memory_shape
        size = memory_shape[0] * memory_shape[1]
        width = width or min(size, WIDEST)
        self.embed = InputEmbedding(inputs, width)
        self.read = Linear(size, width)
        self.hidden = nn.ModuleList(Linear(width, width) for _ in range((layers or 2) - 1))
        self.write = Linear(width, 2 * size)
        if keep:
            with torch.no_grad():
                self.write.bias[:size] = torch.linspace(0, keep, size)

    def step(self, inputs: Shaped[Tensor, "N *x"], memory: Float[Tensor, "N K d"]) -> Float[Tensor, "N K d"]:
        flat = memory.flatten(1)
        hidden = F.gelu(self.read(flat) + self.embed(inputs))
        for layer in self.hidden:
            hidden = hidden + F.gelu(layer(hidden))
        gate, new = self.write(hidden).chunk(2, dim=-1)
        return rms_normalise((torch.sigmoid(gate) * flat + new).view_as(memory))
