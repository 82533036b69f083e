"""Space of symbols."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from nounroll.core.plain import count, plain
from nounroll.core.spaces.base import Space
from nounroll.core.spaces.registry import register_space
from nounroll.core.spaces.sampling import Sampling

_COLDEST = 1e-30  # temperature below which a quotient may overflow, and only the most likely symbol is ever drawn


@register_space("categorical")
@dataclass(frozen=True)
class Categorical(Space):
    """Symbols ``0 .. n - 1``, held as int64 arrays of shape (B, T). Outputs are logits.

    Args:
        n: number of symbols.
        weights: n numbers, the weight of each symbol as a target in the training losses, 1 by default; metrics weight
            all symbols equally.
    """

    n: int
    weights: Any = field(default=(), compare=False, repr=False)

    dtype: ClassVar[torch.dtype] = torch.int64
    discrete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", count("Categorical.n", self.n))
        weights = tuple(plain(self.weights.tolist() if hasattr(self.weights, "tolist") else self.weights))
        if weights:
            good = [float(one) for one in weights if 0 < one < math.inf]
            if not len(good) == len(weights) == self.n:
                raise ValueError(
                    f"Categorical.weights is {weights}; it must hold a number above 0 for each of the {self.n} symbols"
                )
            object.__setattr__(self, "weights", tuple(good))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return ()

    @property
    def readout_size(self) -> int:
        """V: one logit per symbol."""
        return self.n

    @property
    def symbols(self) -> int:
        return self.n

    def convert(self, values: Tensor) -> Tensor:
        return values if values.is_floating_point() or values.is_complex() else values.long()

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError unless ``values`` are int64 symbols of this space."""
        if values.dtype != torch.int64:
            raise ValueError(f"{name} has dtype {values.dtype}; a Categorical array must be torch.int64")
        if values.numel():
            low, high = (int(v) for v in torch.aminmax(values))
            if low < 0 or high >= self.n:
                worst = low if low < 0 else high
                raise ValueError(f"{name} holds the symbol {worst}; Categorical({self.n}) allows 0..{self.n - 1}")

    def invalid(self, values: Shaped[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
        return (values < 0) | (values >= self.n)

    def holds(self, other: Space) -> bool:
        return other.symbols is not None and other.symbols <= self.n

    def parse(self, words: Sequence[str]) -> Tensor:
        return torch.tensor([int(word) for word in words], dtype=torch.int64)

    @property
    def entered_size(self) -> int:
        """Size of a one-hot vector, the form of a symbol next to numbers."""
        return self.n

    def embed(self, width: int, scale: float) -> nn.Module:
        table = nn.Embedding(self.n, width)
        nn.init.normal_(table.weight, std=scale)
        return table

    @property
    def detail(self) -> float:
        return 4 * math.sqrt(self.n)

    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Int[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        flat = F.cross_entropy(outputs.flatten(0, -2).float(), values.flatten(), reduction="none")
        return -flat.view(values.shape)

    def scaled_as(self, other: Space) -> Space:
        return self  # symbols have no unit, and the weights are the task's

    def counted(self, losses: Float[Tensor, "*n"], values: Int[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        return losses * losses.new_tensor(self.weights)[values] if self.weights else losses

    def choose(self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B"], sampling: Sampling) -> Int[Tensor, "B"]:
        """Choose by the cumulative probabilities. Outputs that are not finite give the symbol V, which is rejected."""
        if sampling.temperature < _COLDEST:
            return outputs.argmax(-1).where(outputs.amax(-1).isfinite(), self.n)
        cumulative = _among(outputs / sampling.temperature, sampling).softmax(-1).cumsum(-1)
        point = noise[:, None].to(cumulative) * cumulative[:, -1:]  # below the last one, because the noise is below 1
        return (~(cumulative > point)).sum(-1)

    def drawn(self, values: Int[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
        return values < self.n

    def mean(self, outputs: Float[Tensor, "*n V"]) -> Int[Tensor, "*n"]:
        return outputs.argmax(-1)

    def example(self, *shape: int, generator: torch.Generator) -> Int[Tensor, "..."]:
        return torch.randint(self.n, shape, generator=generator)

    def hits(self, outputs: Float[Tensor, "*n V"], values: Int[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        return (outputs.argmax(-1) == values).float()

    def metrics(self, sums: Mapping[str, float], scored: float, loss: float) -> dict[str, float]:
        return {"accuracy": sums["hits"] / scored}

    def to_json(self) -> dict[str, Any]:
        return {"n": self.n, **({"weights": list(self.weights)} if self.weights else {})}

    def guess(self, values: Int[Tensor, "N"]) -> dict[str, float]:
        """Measure the guess that predicts the symbols' shares."""
        shares = values.bincount(minlength=self.n).double() / len(values)
        loss = float(torch.special.entr(shares).sum())
        return {"loss": loss, "bits": loss / math.log(2), "accuracy": float(shares.max())}


def _among(logits: Float[Tensor, "B V"], sampling: Sampling) -> Float[Tensor, "B V"]:
    """Set the logits of symbols that must not be drawn to -inf."""
    if sampling.top_k is not None:
        kept = logits.topk(min(sampling.top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < kept, -torch.inf)
    if sampling.top_p is None:
        return logits
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities  # sum over all more likely symbols: 0 for the first
    late = before >= sampling.top_p
    dropped = torch.zeros_like(late).scatter(-1, order, late)
    return logits.masked_fill(dropped, -torch.inf)
