"""Scored steps of a probe."""

import torch
from jaxtyping import Bool
from torch import Tensor


def scored_steps(batch_size: int, length: int, share: float, generator: torch.Generator) -> Bool[Tensor, "B T"]:
    """Mark each step as scored with probability ``share``, and always the last step."""
    mask = torch.rand(batch_size, length, generator=generator) < share
    mask[:, -1] = True
    return mask
