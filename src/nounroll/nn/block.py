"""Pre-norm Transformer block."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nounroll.nn.attention import SelfAttention
from nounroll.nn.cache import KeyValueCache
from nounroll.nn.linear import Linear
from nounroll.nn.recompute import again, in_parts

_PART = 512  # time steps of a feed-forward layer that are recomputed together


class FeedForward(nn.Module):
    """Two linear maps with a GELU between them, applied to each position separately."""

    def __init__(self, width: int, expansion: int = 4) -> None:
        super().__init__()
        self.up = Linear(width, expansion * width)
        self.down = Linear(expansion * width, width)

    def forward(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        return self.down(F.gelu(self.up(x)))


class Block(nn.Module):
    """Block of attention and feed-forward layer: x + attention(norm(x)), then x + feed-forward(norm(x)).

    Args:
        width, heads, causal, rotary: as in ``SelfAttention``.
        recompute: store only the block's input for the backward pass, and recompute the rest, one head and a few time
            steps at a time.
    """

    def __init__(self, width: int, heads: int, *, causal: bool, rotary: bool, recompute: bool = False) -> None:
        super().__init__()
        self.recompute = recompute
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, causal=causal, rotary=rotary)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width)

    def forward(
        self,
        x: Float[Tensor, "B T width"],
        visible: Bool[Tensor, "B 1 1 T"] | None = None,
        cache: KeyValueCache | None = None,
        at: Int[Tensor, "B P"] | None = None,
    ) -> Float[Tensor, "B P width"]:
        if self.recompute and cache is None and at is None and torch.is_grad_enabled():
            return again(self._sparing, x, visible)
        kept = x if at is None else x.gather(1, at[..., None].expand(-1, -1, x.shape[-1]))
        return self._fed(kept + self.attention(self.attention_norm(x), visible, cache, at))

    def _sparing(
        self, x: Float[Tensor, "B T width"], visible: Bool[Tensor, "B 1 1 T"] | None
    ) -> Float[Tensor, "B T width"]:
        return in_parts(self._fed, x + self.attention.by_heads(self.attention_norm(x), visible), _PART)

    def _fed(self, x: Float[Tensor, "B T width"]) -> Float[Tensor, "B T width"]:
        return x + self.feed_forward(self.feed_forward_norm(x))


class Transformer(nn.Module):
    """Stack of blocks and a final norm, with the settings of ``Block``."""

    def __init__(
        self, width: int, layers: int, heads: int, *, causal: bool, rotary: bool, recompute: bool = False
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(width, heads, causal=causal, rotary=rotary, recompute=recompute) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        x: Float[Tensor, "B T width"],
        visible: Bool[Tensor, "B 1 1 T"] | None = None,
        caches: Sequence[KeyValueCache] | None = None,
        at: Int[Tensor, "B P"] | None = None,
    ) -> Float[Tensor, "B P width"]:
        """Run all blocks; ``visible``, ``caches``, one per block, and ``at`` are as in ``SelfAttention``.

        With ``at``, the last block computes these positions alone: the others are read by it, and not asked for.
        """
        last = len(self.blocks) - 1
        for i, (block, cache) in enumerate(zip(self.blocks, caches or [None] * len(self.blocks), strict=True)):
            x = block(x, visible, cache, at if i == last else None)
        return self.norm(x)
