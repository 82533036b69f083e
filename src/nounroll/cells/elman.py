"""Simple recurrent cell (Elman 1990), over torch's fused nn.RNN."""

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.cells.recurrent import HiddenStateCell
from nounroll.nn.transforms import rnn_tanh_cell


class ElmanCell(HiddenStateCell):
    """h' = tanh(W x + U h + b). The memory is h, K d coordinates in (-1, 1)."""

    def build(self, width: int) -> nn.RNNBase:
        return nn.RNN(width, self.size, nonlinearity="tanh", batch_first=True)

    def step(self, inputs: Shaped[Tensor, "N *x"], memory: Float[Tensor, "N K d"]) -> Float[Tensor, "N K d"]:
        return rnn_tanh_cell(self.embed(inputs), memory.flatten(1), self.weights()).view_as(memory)
