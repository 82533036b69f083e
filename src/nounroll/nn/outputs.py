"""Last linear map of a network: to the parameters of a distribution in the unit of the targets."""

from jaxtyping import Float
from torch import Tensor, nn

from nounroll.core.batch import Space


class Outputs(nn.Linear):
    """Map states to V numbers, the parameters of a likelihood of targets in the data's unit.

    Logits of symbols are the outputs of the linear map. The outputs for other spaces are converted to the data's unit
    (``Space.parameters``), in float32 or finer, so that the network itself computes with standardised values.

    Args:
        width: width of the states.
        targets: space of y_t.
    """

    def __init__(self, width: int, targets: Space) -> None:
        super().__init__(width, targets.readout_size)
        self.targets = targets

    def forward(self, input: Float[Tensor, "... width"]) -> Float[Tensor, "... V"]:
        return self.targets.parameters(super().forward(input))
