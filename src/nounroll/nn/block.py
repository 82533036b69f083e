"""The pre-norm Transformer block."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from nounroll.nn.attention import SelfAttention
from nounroll.nn.cache import KeyValueCache


class FeedForward(nn.Module):
    """Two linear maps with a GELU between them, applied to each position alone."""

    def __init__(self, width: int, expansion: int = 4) -> None:
        super().__init__()
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)

    def forward(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        return self.down(F.gelu(self.up(x)))


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, width: int, heads: int, *, causal: bool, rotary: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, causal=causal, rotary=rotary)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width)

    def forward(
        self,
        x: Float[Tensor, "B T width"],
        visible: Bool[Tensor, "B 1 1 T"] | None = None,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "B T width"]:
        x = x + self.attention(self.attention_norm(x), visible, cache)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Transformer(nn.Module):
    """A stack of blocks and a last norm."""

    def __init__(self, width: int, layers: int, heads: int, *, causal: bool, rotary: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, causal=causal, rotary=rotary) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        x: Float[Tensor, "B T width"],
        visible: Bool[Tensor, "B 1 1 T"] | None = None,
        caches: Sequence[KeyValueCache] | None = None,
    ) -> Float[Tensor, "B T width"]:
        """``visible`` and ``caches``, one for each block, are those of ``SelfAttention``."""
        for block, cache in zip(self.blocks, caches or [None] * len(self.blocks), strict=True):
            x = block(x, visible, cache)
        return self.norm(x)
