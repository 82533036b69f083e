"""Noise on memories: the cell learns to pull its errors back in."""

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.nn.norm import rms_normalise


def add_noise(
    memories: Float[Tensor, "B S K d"], largest: float, generator: torch.Generator
) -> Float[Tensor, "B S K d"]:
    """Gaussian noise of a random size in each memory, which keeps the root mean square of each token.

    The size, relative to that root mean square, is uniform on (0, ``largest``).
    """
    if not largest:
        return memories
    size = largest * torch.rand(*memories.shape[:2], 1, 1, generator=generator)
    noise = (size * torch.randn(memories.shape, generator=generator)).to(memories)
    scale = memories.detach().square().mean(-1, keepdim=True).sqrt()
    return scale * rms_normalise(memories + scale * noise)
