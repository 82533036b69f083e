"""GRU cell (Cho et al. 2014, arXiv 1406.1078), over torch's fused nn.GRU."""

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.cells.recurrent import HiddenStateCell, start_keeping
from nounroll.core.batch import Space
from nounroll.nn.transforms import gru_cell


class GRUCell(HiddenStateCell):
    """h' = (1 - z) n + z h. The memory is h, K d coordinates in (-1, 1).

    Args:
        inputs, memory_shape, width: those of ``HiddenStateCell``.
        keep: see ``start_keeping``; 0 is torch's own initialisation.
    """

    def __init__(
        self, inputs: Space, memory_shape: tuple[int, int], *, width: int | None = None, keep: float = 0.0
    ) -> None:
        super().__init__(inputs, memory_shape, width=width)
        if keep:
            start_keeping(self.core, keep)

    def build(self, width: int) -> nn.RNNBase:
        return nn.GRU(width, self.size, batch_first=True)

    def step(self, inputs: Shaped[Tensor, "N *x"], memory: Float[Tensor, "N K d"]) -> Float[Tensor, "N K d"]:
        return gru_cell(self.embed(inputs), memory.flatten(1), self.weights()).view_as(memory)
