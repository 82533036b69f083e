"""Tape cell: memory tokens that can move by one place, as on a tape whose ends are joined."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.core.batch import Space
from nounroll.nn.embedding import InputEmbedding
from nounroll.nn.norm import rms_normalise

_MOVES, _HOLDS, _WRITES = 3.0, -3.0, 2.0  # initially the whole tape moves, and its first place is written


class TapeCell(nn.Module):
    """Every token stays, or is replaced by the token before or after it; then it may be overwritten.

    ::

        m^1 m^2 m^3 m^4   ->   m^4 m^1 m^2 m^3   ->   new m^1 m^2 m^3      as it starts: the last K inputs

        m'^k = rms((1 - g^k) (a^k m^k + b^k m^(k-1) + c^k m^(k+1)) + g^k n^k),   a + b + c = 1

    A hidden layer computes a, b, c, g in (0, 1) and n from (m, x). Moves turn the memory into a queue or a stack (cf.
    Joulin & Mikolov 2015, arXiv 1503.01007, and the shifts of Graves et al. 2014, arXiv 1410.5401). Moving does not
    change a token's content, and no weight has to learn where it went. Many narrow tokens suit this cell.

    Args:
        inputs: space of x_t.
        memory_shape: (K, d).
        width: width of the hidden layer; default 2 K d.
    """

    @staticmethod
    def default_width(tokens: int, memory_width: int) -> int:
        return 2 * tokens * memory_width

    def __init__(self, inputs: Space, memory_shape: tuple[int, int], *, width: int | None = None) -> None:
        super().__init__()
        self.memory_shape = memory_shape
        tokens, size = memory_shape[0], memory_shape[0] * memory_shape[1]
        width = width or 2 * size
        self.embed = InputEmbedding(inputs, width)
        self.read = nn.Linear(size, width)
        self.move, self.gate, self.new = nn.Linear(width, 3 * tokens), nn.Linear(width, tokens), nn.Linear(width, size)
        with torch.no_grad():
            for layer in (self.move, self.gate):
                layer.weight.mul_(0.3)
            self.move.bias.view(tokens, 3).copy_(torch.tensor([0.0, _MOVES, 0.0]))
            self.gate.bias.fill_(_HOLDS)
            self.gate.bias[0] = _WRITES

    def step(self, inputs: Shaped[Tensor, "N *x"], memory: Float[Tensor, "N K d"]) -> Float[Tensor, "N K d"]:
        hidden = F.gelu(self.read(memory.flatten(1)) + self.embed(inputs))
        stay, down, up = self.move(hidden).view(-1, self.memory_shape[0], 1, 3).softmax(dim=-1).unbind(-1)
        moved = stay * memory + down * memory.roll(1, 1) + up * memory.roll(-1, 1)
        gate = torch.sigmoid(self.gate(hidden))[..., None]
        return rms_normalise((1 - gate) * moved + gate * self.new(hidden).view_as(memory))
