"""Shared base of the cells over torch's fused recurrent kernels."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.cells.base import Cell
from nounroll.core.batch import Space
from nounroll.nn.embedding import InputEmbedding
from nounroll.nn.transforms import is_transformed


@torch.no_grad()
def start_keeping(core: nn.RNNBase, most: float) -> None:
    """Initialise a gated kernel so that its units retain their values for different times.

    The gate that retains values is the forget gate of an LSTM and the update gate z of a GRU. Its biases are spread
    evenly from 0 to ``most`` over the units; all other biases are 0. With torch's own initialisation all gates are half
    open: a value is lost after a few steps, and no gradient flows back from further. (A bias of 1: Gers et al. 2000,
    Jozefowicz et al. 2015; spread over units, by the length: Tallec & Ollivier 2018.)
    """
    size = core.hidden_size
    for bias in (core.bias_ih_l0, core.bias_hh_l0):
        bias.zero_()  # type: ignore[operator]
    core.bias_ih_l0[size : 2 * size] = torch.linspace(0, most, size)  # type: ignore[index]


def stepped(cell: Cell, inputs: Shaped[Tensor, "B T *x"], memory: Float[Tensor, "B K d"]) -> Float[Tensor, "B T K d"]:
    """Compute the memories after each input, by ``step`` alone."""
    memories = []
    for x in inputs.unbind(1):
        memory = cell.step(x, memory)
        memories.append(memory)
    return torch.stack(memories, dim=1)


class HiddenStateCell(nn.Module):
    """A cell whose memory *is* the hidden state of a one-layer torch recurrent module.

    ``core`` is that module (``nn.GRU`` or ``nn.RNN``): its weights load into the cell and back by
    ``state_dict``. Coordinates of a hidden state lie in (-1, 1), so ``constrain`` is tanh: labels with
    root mean square 1 could not be reached.

    Args:
        inputs: space of x_t.
        memory_shape: (K, d); the hidden state has K d coordinates.
        width: width of the input embedding; default K d.
    """

    embeds = True
    core: nn.RNNBase

    def __init__(self, inputs: Space, memory_shape: tuple[int, int], *, width: int | None = None) -> None:
        super().__init__()
        self.memory_shape = memory_shape
        self.size = memory_shape[0] * memory_shape[1]
        self.embed = InputEmbedding.for_gates(inputs, width or self.size)
        self.core = self.build(width or self.size)

    def step(self, inputs: Shaped[Tensor, "N *x"], memory: Float[Tensor, "N K d"]) -> Float[Tensor, "N K d"]:
        raise NotImplementedError

    def build(self, width: int) -> nn.RNNBase:
        """Build the torch module, batch first, from inputs of ``width`` to ``self.size``."""
        raise NotImplementedError

    def weights(self) -> list[Tensor]:
        core = self.core
        return [core.weight_ih_l0, core.weight_hh_l0, core.bias_ih_l0, core.bias_hh_l0]  # type: ignore[list-item]

    def constrain(self, raw: Float[Tensor, "... K d"]) -> Float[Tensor, "... K d"]:
        return torch.tanh(raw)

    def unroll(self, inputs: Shaped[Tensor, "B T *x"], memory: Float[Tensor, "B K d"]) -> Float[Tensor, "B T K d"]:
        if is_transformed():
            return stepped(self, inputs, memory)
        hidden, _ = self.core(self.embed(inputs), memory.flatten(1)[None].contiguous())
        return hidden.unflatten(-1, self.memory_shape)
