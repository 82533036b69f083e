"""minGRU cell (Feng et al. 2024, arXiv 2410.01201): a linear recurrence, trained by a parallel scan."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from nounroll.core.batch import Space
from nounroll.nn.block import FeedForward
from nounroll.nn.embedding import InputEmbedding

Recurrence: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]  # gate, value, memory before -> memories


class MinGRUCell(nn.Module):
    """h' = (1 - z) h + z h̃, with z = σ(W x) and h̃ = g(V x): neither sees h.

    ``unroll`` is therefore a parallel scan over time, and its matrix products do not depend on each other. A single
    layer can only weigh inputs; a second layer sees what the first one remembers. The memory is the h of all layers,
    K d coordinates, all positive: g(a) is a + 1/2 if a >= 0, and σ(a) otherwise.

    Args:
        inputs: space of x_t.
        memory_shape: (K, d); each layer has K d / layers units.
        width: width of the vectors between the layers; default K d.
        layers: number of layers; default 2.
    """

    parallel = True
    default_layers = 2

    def __init__(
        self, inputs: Space, memory_shape: tuple[int, int], *, width: int | None = None, layers: int | None = None
    ) -> None:
        super().__init__()
        size, self.layers = memory_shape[0] * memory_shape[1], layers or 2
        if size % self.layers:
            raise ValueError(
                f"cell.layers is {self.layers}; it must divide cell.tokens * cell.memory_width, which is {size}"
            )
        self.memory_shape = memory_shape
        width, units = width or size, size // self.layers
        self.embed = InputEmbedding(inputs, width)
        self.gates = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * units)) for _ in range(self.layers)
        )
        self.mix = nn.ModuleList(nn.Linear(units, width) for _ in range(self.layers - 1))
        self.feed_forward = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), FeedForward(width)) for _ in range(self.layers - 1)
        )

    def constrain(self, raw: Float[Tensor, "... K d"]) -> Float[Tensor, "... K d"]:
        return positive(raw)

    def step(self, inputs: Shaped[Tensor, "N *x"], memory: Float[Tensor, "N K d"]) -> Float[Tensor, "N K d"]:
        return self._through_layers(inputs, memory, one_step)

    def unroll(self, inputs: Shaped[Tensor, "B T *x"], memory: Float[Tensor, "B K d"]) -> Float[Tensor, "B T K d"]:
        return self._through_layers(inputs, memory, scan)

    def unroll_reset(
        self,
        inputs: Shaped[Tensor, "B T *x"],
        memory: Float[Tensor, "B K d"],
        resets: Bool[Tensor, "B T"],
        empty: Float[Tensor, "K d"],
    ) -> Float[Tensor, "B T K d"]:
        """Run one scan over all steps: at a reset the memory before it is dropped, and ``empty`` is added."""
        empties = iter(empty.flatten().chunk(self.layers))
        return self._through_layers(
            inputs, memory, lambda gate, value, before: scan(gate, value, before, resets, next(empties))
        )

    def _through_layers(self, inputs: Tensor, memory: Tensor, recurrence: Recurrence) -> Tensor:
        x, after = self.embed(inputs), []
        dtype = self.embed.map.weight.dtype  # a scan uses at least 32 bits
        for index, before in enumerate(memory.flatten(1).chunk(self.layers, dim=-1)):
            if index:
                x = x + self.mix[index - 1](after[-1])
                x = x + self.feed_forward[index - 1](x)
            gate, value = self.gates[index](x).chunk(2, dim=-1)
            after.append(recurrence(gate, value, before).to(dtype))
        return torch.cat(after, dim=-1).unflatten(-1, self.memory_shape)


def positive(a: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Compute g: continuous, increasing, and never 0."""
    return torch.where(a >= 0, a + 0.5, a.sigmoid())


def one_step(
    gate: Float[Tensor, "N u"], value: Float[Tensor, "N u"], memory: Float[Tensor, "N u"]
) -> Float[Tensor, "N u"]:
    """Compute h' from h."""
    return (-gate).sigmoid() * memory + gate.sigmoid() * positive(value)


def scan(
    gate: Float[Tensor, "B T u"],
    value: Float[Tensor, "B T u"],
    memory: Float[Tensor, "B u"],
    resets: Bool[Tensor, "B T"] | None = None,
    empty: Float[Tensor, "u"] | None = None,
) -> Float[Tensor, "B T u"]:
    """Compute h at every step by doubling, log2 T times (Hillis & Steele 1986).

    Two adjacent time spans, each a map h -> keep h + new, are merged into one of twice the length. The paper scans in
    the log domain. Here every factor lies in (0, 1) and every term is positive, so nothing cancels or overflows, and a
    product that underflows is a forgotten memory. On one core it takes less than half the time. Where ``resets`` is
    True, h before the step is ``empty``.
    """
    kind = torch.promote_types(memory.dtype, torch.float32)
    keep, write = (-gate).to(kind).sigmoid(), gate.to(kind).sigmoid()
    new = write * positive(value.to(kind))
    if resets is not None and empty is not None:
        new = torch.where(resets[..., None], new + keep * empty, new)
        keep = keep.masked_fill(resets[..., None], 0)
    memories = torch.cat([torch.addcmul(new[:, :1], keep[:, :1], memory[:, None]), new[:, 1:]], dim=1)
    span = 1
    while span < memories.shape[1]:
        longer = torch.addcmul(memories[:, span:], keep[:, span:], memories[:, :-span])
        memories = torch.cat([memories[:, :span], longer], dim=1)
        keep = torch.cat([keep[:, :span], keep[:, span:] * keep[:, :-span]], dim=1)
        span *= 2
    return memories
