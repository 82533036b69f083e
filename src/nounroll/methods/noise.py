"""Noise on memories: it teaches the cell to correct its errors."""

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.core.processes import own_rows
from nounroll.nn.norm import rms_normalise


def add_noise(
    memories: Float[Tensor, "B S K d"], largest: float, generator: torch.Generator
) -> Float[Tensor, "B S K d"]:
    """Add Gaussian noise of a random size to each memory; the root mean square of each token stays the same.

    The size is relative to that root mean square, and uniform on (0, ``largest``).
    """
    if not largest:
        return memories
    rows, *shape = memories.shape
    size = largest * own_rows(rows, lambda n: torch.rand(n, shape[0], 1, 1, generator=generator))
    noise = (size * own_rows(rows, lambda n: torch.randn(n, *shape, generator=generator))).to(memories)
    scale = memories.detach().square().mean(-1, keepdim=True).sqrt()
    return scale * rms_normalise(memories + scale * noise)
