"""Causal encoder: one pass labels all prefixes, including the empty one."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from nounroll.core.batch import Space
from nounroll.nn.block import Transformer
from nounroll.nn.cache import KeyValueCache
from nounroll.nn.embedding import InputEmbedding
from nounroll.nn.shift import TokenShift
from nounroll.teacher.base import TeacherSettings


class Read:
    """State of a causal encoder after reading inputs, so that no input is read twice.

    Attributes:
        layers: keys and values of each block.
        last: the last vector read, for the token shift; None before the first input.
    """

    def __init__(self, layers: int) -> None:
        self.layers = [KeyValueCache() for _ in range(layers)]
        self.last: Float[Tensor, "B 1 width"] | None = None


class CausalEncoder(nn.Module):
    """A causal Transformer over [start, x_0 .. x_{T-1}]: state t + 1 has seen x_0 .. x_t, state 0 nothing."""

    all_at_once = True

    def __init__(
        self,
        settings: TeacherSettings,
        inputs: Space,
        targets: Space | None = None,
        memory_shape: tuple[int, int] | None = None,
        *,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.width = width = settings.width
        self.embed = InputEmbedding(inputs, width, width**-0.5)
        self.start = nn.Parameter(torch.randn(width) * width**-0.5)
        self.shift = TokenShift(width) if settings.token_shift else nn.Identity()
        self.trunk = Transformer(width, settings.layers, settings.heads, causal=True, rotary=True, recompute=recompute)

    def _enter(self, inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "B T1 width"]:
        return torch.cat([self.start.expand(len(inputs), 1, -1), self.embed(inputs)], dim=1)

    def extend(self, inputs: Shaped[Tensor, "B T *x"], read: Read) -> Float[Tensor, "B T width"]:
        """Return the states after each of the inputs that follow ``read``, and add these inputs to it."""
        last, first = read.last, read.last is None
        x = self._enter(inputs) if last is None else torch.cat([last, self.embed(inputs)], dim=1)
        read.last = x[:, -1:]
        shifted = self.shift(x)
        states = self.trunk(shifted if first else shifted[:, 1:], caches=read.layers)
        return states[:, 1:] if first else states

    def read(self, inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "B T1 width"]:
        """Return the states before the first input, and after each input."""
        return self.trunk(self.shift(self._enter(inputs)))

    def at(
        self, states: Float[Tensor, "B T1 width"], positions: Int[Tensor, "B S"] | None
    ) -> Float[Tensor, "B S width"]:
        if positions is None:
            return states
        return states.gather(1, positions[..., None].expand(-1, -1, states.shape[-1]))

    def forward(
        self, inputs: Shaped[Tensor, "B T *x"], positions: Int[Tensor, "B S"] | None
    ) -> Float[Tensor, "B S width"]:
        return self.at(self.read(inputs), positions)
