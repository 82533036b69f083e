"""Sampling of elements from the outputs of a readout."""

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
        temperature: temperature of the distribution; 0 takes the most likely symbol, and for other elements a central
            value: the mean of a Real element, the median of a Count.
        top_k: draw only among the k most likely symbols.
        top_p: draw only among the most likely symbols that together have this probability (nucleus sampling, Holtzman
            et al. 2020, arXiv 1904.09751); if ``top_k`` is given too, it applies first.

    The last two apply to symbols only.
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
        """Draw one element of the space for each row of outputs.

        Raises:
            ValueError: the outputs are not finite.
        """
        return checked(space, self.choose(space, outputs, self.noise(space, len(outputs), generator)))

    def noise(self, space: "Space", rows: int, generator: torch.Generator | None) -> Float[Tensor, "B ..."]:
        """Draw the random numbers for one element per row; see ``Space.noise``."""
        return space.noise(rows, generator)

    def choose(
        self, space: "Space", outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B ..."]
    ) -> Shaped[Tensor, "B *y"]:
        """Map the random numbers of each row to an element; see ``Space.choose``."""
        # 16 bits are too coarse for sums of many small probabilities.
        return space.choose(outputs.to(torch.promote_types(outputs.dtype, torch.float32)), noise, self)


def checked(space: "Space", drawn: Shaped[Tensor, "*n"]) -> Shaped[Tensor, "*n"]:
    """Return the chosen element, if it is in the space."""
    if not space.drawn(drawn).all():
        raise ValueError("the network's outputs are not finite; its weights or its memory are damaged")
    return drawn
