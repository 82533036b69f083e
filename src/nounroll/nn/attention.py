"""Multi-head self-attention on torch's own kernel."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nounroll.nn.cache import KeyValueCache
from nounroll.nn.linear import Linear
from nounroll.nn.recompute import again
from nounroll.nn.rotary import Rotary
from nounroll.nn.transforms import attention


class SelfAttention(nn.Module):
    """Self-attention over the time axis.

    Args:
        width: width of the vectors.
        heads: number of heads; must divide ``width``.
        causal: position t attends to positions <= t only.
        rotary: relative positions; without them attention treats the positions as a set.
    """

    def __init__(self, width: int, heads: int, *, causal: bool, rotary: bool) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"heads is {heads}; it must divide the width {width}")
        self.heads, self.causal = heads, causal
        self.query_key_value = Linear(width, 3 * width, bias=False)
        self.out = Linear(width, width, bias=False)
        self.rotary = Rotary(width // heads) if rotary else None

    def forward(
        self,
        x: Float[Tensor, "B T width"],
        visible: Bool[Tensor, "B 1 1 T"] | None = None,
        cache: KeyValueCache | None = None,
        at: Int[Tensor, "B P"] | None = None,
    ) -> Float[Tensor, "B P width"]:
        """Attend to the positions of ``x``, and to those in the cache.

        Args:
            x: the vectors.
            visible: the positions that may be attended to (not together with ``causal``); None means all.
            cache: keys and values of earlier positions, for causal attention; those of ``x`` are added to it.
            at: the only positions that attend, without a cache; None is all of them (P = T).
        """
        batch, time, width = x.shape
        before = 0 if cache is None else cache.length
        split = self.query_key_value(x).view(batch, time, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        if self.rotary is not None:
            query, key = self.rotary(query, before), self.rotary(key, before)
        if cache is not None:
            key, value = cache.append(key, value)
        causal = self.causal and time > 1 and before == 0
        if before and time > 1:
            visible = torch.ones(time, before + time, dtype=torch.bool, device=x.device).tril(before)
        if at is not None:
            query = query.gather(2, at[:, None, :, None].expand(-1, self.heads, -1, query.shape[-1]))
            if causal:
                visible, causal = torch.arange(time, device=x.device) <= at[:, None, :, None], False
        mixed = attention(query, key, value, visible, causal)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def by_heads(
        self, x: Float[Tensor, "B T width"], visible: Bool[Tensor, "B 1 1 T"] | None = None
    ) -> Float[Tensor, "B T width"]:
        """Attend with one head after another, each recomputed for its gradient: less memory, smaller products."""
        mixed = [again(self._head, x, visible, head) for head in range(self.heads)]
        return sum(mixed[1:], mixed[0])

    def _head(
        self, x: Float[Tensor, "B T width"], visible: Bool[Tensor, "B 1 1 T"] | None, head: int
    ) -> Float[Tensor, "B T width"]:
        width = x.shape[-1] // self.heads
        own = self.query_key_value.weight.unflatten(0, (3, self.heads, width))[:, head].flatten(0, 1)
        query, key, value = F.linear(x, own)[:, None].chunk(3, dim=-1)
        if self.rotary is not None:
            query, key = self.rotary(query), self.rotary(key)
        causal = self.causal and x.shape[1] > 1
        mixed = attention(query, key, value, visible, causal)[:, 0]
        return F.linear(mixed, self.out.weight[:, head * width : (head + 1) * width])
