"""The all-timestep encoder: one causal pass labels the empty prefix and every other."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from nounroll.batch import Space
from nounroll.nn.block import FeedForward, Transformer
from nounroll.nn.cache import KeyValueCache
from nounroll.nn.embedding import InputEmbedding
from nounroll.nn.shift import TokenShift
from nounroll.teacher.base import TeacherSettings


class Reader(nn.Module):
    """One layer of attention from chosen positions to all states up to them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.feed_forward_norm, self.feed_forward = nn.LayerNorm(width), FeedForward(width)

    def forward(
        self, chosen: Float[Tensor, "B S width"], states: Float[Tensor, "B T1 width"], positions: Int[Tensor, "B S"]
    ) -> Float[Tensor, "B S width"]:
        visible = positions[:, :, None] >= torch.arange(states.shape[1], device=states.device)

        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        key, value = self.key_value(self.norm(states)).chunk(2, dim=-1)
        query = split(self.query(self.norm(chosen)))
        mixed = F.scaled_dot_product_attention(query, split(key), split(value), attn_mask=visible[:, None])
        x = chosen + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.feed_forward(self.feed_forward_norm(x))


class Read:
    """What a causal encoder keeps of all it has read, so that nothing is read twice.

    Attributes:
        layers: keys and values of each block.
        last: the vector read last, for the token shift; None before anything was read.
    """

    def __init__(self, layers: int) -> None:
        self.layers = [KeyValueCache() for _ in range(layers)]
        self.last: Float[Tensor, "B 1 width"] | None = None


class CausalEncoder(nn.Module):
    """A causal Transformer over [start, x_0 .. x_{T-1}]: state t + 1 has seen x_0 .. x_t, state 0 nothing."""

    def __init__(self, settings: TeacherSettings, inputs: Space) -> None:
        super().__init__()
        width = settings.width
        self.embed = InputEmbedding(inputs, width, width**-0.5)
        self.start = nn.Parameter(torch.randn(width) * width**-0.5)
        self.shift = TokenShift(width) if settings.token_shift else nn.Identity()
        self.trunk = Transformer(
            width, settings.layers, settings.heads, causal=True, rotary=True, recompute=settings.recompute
        )
        self.reader = Reader(width, settings.heads) if settings.reader else None

    def _enter(self, inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "B T1 width"]:
        return torch.cat([self.start.expand(len(inputs), 1, -1), self.embed(inputs)], dim=1)

    def extend(self, inputs: Shaped[Tensor, "B T *x"], read: Read) -> Float[Tensor, "B T width"]:
        """The states after each of the inputs that follow those in ``read``, to which they are added.

        Raises:
            ValueError: the encoder has a reader, which keeps no cache.
        """
        if self.reader is not None:
            raise ValueError(
                "teacher.reader is True; a Transformer with a reader cannot go on from a cache, set it False"
            )
        last, first = read.last, read.last is None
        x = self._enter(inputs) if last is None else torch.cat([last, self.embed(inputs)], dim=1)
        read.last = x[:, -1:]
        shifted = self.shift(x)
        states = self.trunk(shifted if first else shifted[:, 1:], caches=read.layers)
        return states[:, 1:] if first else states

    def read(self, inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "B T1 width"]:
        """The states after nothing, and after each input."""
        return self.trunk(self.shift(self._enter(inputs)))

    def at(
        self, states: Float[Tensor, "B T1 width"], positions: Int[Tensor, "B S"] | None
    ) -> Float[Tensor, "B S width"]:
        chosen = states
        if positions is not None:
            chosen = states.gather(1, positions[..., None].expand(-1, -1, states.shape[-1]))
        if self.reader is None:
            return chosen
        if positions is None:
            positions = torch.arange(states.shape[1], device=states.device).expand(len(states), -1)
        return self.reader(chosen, states, positions)

    def forward(
        self, inputs: Shaped[Tensor, "B T *x"], positions: Int[Tensor, "B S"] | None
    ) -> Float[Tensor, "B S width"]:
        return self.at(self.read(inputs), positions)
