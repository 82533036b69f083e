"""The last linear map of a network: to the parameters of a distribution in the unit of the targets."""

from jaxtyping import Float
from torch import Tensor, nn

from nounroll.core.batch import Space


class Outputs(nn.Linear):
    """States -> V numbers, by which a likelihood judges targets as the data has them.

    Logits of symbols are the linear map's numbers themselves. Those of other spaces are put into the data's unit
    (``Space.parameters``), in float32 or finer, so that the network itself computes with standardised values.

    Args:
        width: of the states.
        targets: space of y_t.
    """

    def __init__(self, width: int, targets: Space) -> None:
        super().__init__(width, targets.readout_size)
        self.targets = targets

    def forward(self, input: Float[Tensor, "... width"]) -> Float[Tensor, "... V"]:
        return self.targets.parameters(super().forward(input))
