"""Transformer cell: the memory tokens and the input attend to each other (the paper's main cell)."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.core.batch import Space
from nounroll.nn.block import Block
from nounroll.nn.embedding import InputEmbedding
from nounroll.nn.norm import rms_normalise


class TransformerCell(nn.Module):
    """Transformer blocks over [m^1 .. m^K, x_t] without a mask; the first K positions are the next memory.

    Args:
        inputs: space of x_t.
        memory_shape: (K, d).
        width: width of the blocks; default d.
        layers: number of blocks; default 2.
    """

    default_layers = 2

    @staticmethod
    def default_width(tokens: int, memory_width: int) -> int:
        return memory_width

    def __init__(
        self, inputs: Space, memory_shape: tuple[int, int], *, width: int | None = None, layers: int | None = None
    ) -> None:
        super().__init__()
        self.memory_shape = memory_shape
        tokens, memory_width = memory_shape
        width = width or memory_width
        heads = next(h for h in (4, 2, 1) if width % h == 0)
        self.embed = InputEmbedding(inputs, width)
        self.enter = nn.Linear(memory_width, width)
        self.place = nn.Parameter(torch.randn(tokens, width) * width**-0.5)
        self.blocks = nn.ModuleList(Block(width, heads, causal=False, rotary=False) for _ in range(layers or 2))
        self.leave = nn.Linear(width, memory_width)

    def step(self, inputs: Shaped[Tensor, "N *x"], memory: Float[Tensor, "N K d"]) -> Float[Tensor, "N K d"]:
        x = torch.cat([self.enter(memory) + self.place, self.embed(inputs)[:, None]], dim=1)
        for block in self.blocks:
            x = block(x)
        return rms_normalise(memory + self.leave(x[:, :-1]))
