"""Space of vectors of zeros and ones."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from nounroll.core.plain import count
from nounroll.core.spaces.base import Space
from nounroll.core.spaces.registry import register_space
from nounroll.core.spaces.sampling import Sampling


@register_space("bits")
@dataclass(frozen=True)
class Bits(Space):
    """Vectors of ``n`` bits, held as float32 arrays of 0 and 1 of shape (B, T, n), for example the keys of a piano.

    Outputs are logits of 1. Given the inputs, bits are independent of each other.
    """

    n: int

    discrete: ClassVar[bool] = True
    allowed: ClassVar[str] = "Bits arrays hold 0 and 1 alone"

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", count("Bits.n", self.n))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def readout_size(self) -> int:
        """V: one logit per bit."""
        return self.n

    def invalid(self, values: Shaped[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
        return (values != 0) & (values != 1)

    def enter(self, values: Float[Tensor, "*n k"]) -> Float[Tensor, "*n k"]:
        return 2 * values - 1

    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
        losses = F.binary_cross_entropy_with_logits(outputs.float(), values.float(), reduction="none")
        return -losses.sum(-1)

    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B k"], sampling: Sampling
    ) -> Float[Tensor, "B k"]:
        """Draw bits; at temperature 0 return the more likely bits."""
        logits = outputs / (sampling.temperature or 1.0)
        chance = (logits > 0).to(logits) if sampling.temperature == 0 else logits.sigmoid()
        return torch.where(outputs.isnan(), torch.nan, (noise.to(logits) < chance).to(logits))

    def mean(self, outputs: Float[Tensor, "*n V"]) -> Float[Tensor, "*n k"]:
        """Return the probabilities of 1."""
        return outputs.sigmoid()

    def hits(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
        """Compute the share of correct bits."""
        return ((outputs > 0) == (values > 0.5)).float().mean(-1)

    def metrics(self, sums: Mapping[str, float], scored: float, loss: float) -> dict[str, float]:
        return {"accuracy": sums["hits"] / scored}

    def guess(self, values: Float[Tensor, "N k"]) -> dict[str, float]:
        """Measure the guess that predicts each bit's share of ones."""
        shares = values.double().mean(0)
        loss = float((torch.special.entr(shares) + torch.special.entr(1 - shares)).sum())
        return {
            "loss": loss,
            "bits": loss / math.log(2),
            "accuracy": float(torch.maximum(shares, 1 - shares).mean()),
        }
