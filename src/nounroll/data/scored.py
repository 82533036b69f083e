"""Scored steps of a probe: how often it reveals its state."""

import torch
from jaxtyping import Bool
from torch import Tensor


def scored_steps(batch_size: int, length: int, share: float, generator: torch.Generator) -> Bool[Tensor, "B T"]:
    """True at a random ``share`` of the steps, each drawn by itself, and always at the last one."""
    mask = torch.rand(batch_size, length, generator=generator) < share
    mask[:, -1] = True
    return mask
