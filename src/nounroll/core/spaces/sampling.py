"""Drawing of elements from the outputs of a readout."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nounroll.core.plain import plain
from nounroll.core.ranges import at_least

if TYPE_CHECKING:
    from nounroll.core.spaces.base import Space


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings by which elements are drawn from the outputs of a readout.

    Args:
        temperature: of the distribution; 0 takes the most likely symbol, and the middle of what is no symbol: the mean
            of a Real element, the median of a Count.
        top_k: draw among the k most likely symbols only.
        top_p: draw among the most likely symbols that together have this probability only (nucleus sampling, Holtzman
            et al. 2020, arXiv 1904.09751); of those that ``top_k`` left, if both are given.

    The last two are for symbols; other elements pass them over.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        vars(self).update(plain(vars(self)))
        at_least("temperature", self.temperature, 0)
        if self.top_k is not None:
            at_least("top_k", self.top_k, 1)
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it must be more than 0 and at most 1")

    def draw(
        self, space: "Space", outputs: Float[Tensor, "B V"], generator: torch.Generator | None
    ) -> Shaped[Tensor, "B *y"]:
        """One element of the space for each row of outputs.

        Raises:
            ValueError: they are not finite.
        """
        return checked(space, self.choose(space, outputs, self.noise(space, len(outputs), generator)))

    def noise(self, space: "Space", rows: int, generator: torch.Generator | None) -> Float[Tensor, "B ..."]:
        """The random numbers of one draw of each row; see ``Space.noise``."""
        return space.noise(rows, generator)

    def choose(
        self, space: "Space", outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B ..."]
    ) -> Shaped[Tensor, "B *y"]:
        """The element of each row that its random numbers stand for; see ``Space.choose``."""
        # Sums of many small probabilities are too coarse in 16 bits.
        return space.choose(outputs.to(torch.promote_types(outputs.dtype, torch.float32)), noise, self)


def checked(space: "Space", drawn: Shaped[Tensor, "*n"]) -> Shaped[Tensor, "*n"]:
    """Return the chosen element, if it is of the space."""
    if not space.drawn(drawn).all():
        raise ValueError("the network's outputs are not finite; its weights or its memory are damaged")
    return drawn
