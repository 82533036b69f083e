"""What a method keeps from one training step to the next: sequences that it has got some way through."""

from typing import TypeAlias

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nounroll.batch import Batch

Carried: TypeAlias = tuple[tuple[Batch, Float[Tensor, "B K d"]], ...]
"""Batches of one shape, the latest first, and the student's memories where it has got to in each."""


def to_tensors(carried: Carried) -> dict[str, Shaped[Tensor, "G B ..."]]:
    """The same as tensors with a first axis over the G batches; none for no batch."""
    if not carried:
        return {}
    batches, memories = zip(*carried, strict=True)
    arrays = {name: torch.stack(values) for name, values in Batch.arrays(batches).items()}
    return {**arrays, "memories": torch.stack(memories)}


def from_tensors(tensors: dict[str, Shaped[Tensor, "G B ..."]]) -> Carried:
    """What ``to_tensors`` was given.

    Raises:
        KeyError: a tensor is missing.
    """
    if not tensors:
        return ()
    arrays = (tensors[name] for name in ("inputs", "targets", "mask", "memories"))
    return tuple((Batch(*arrays), memory) for *arrays, memory in zip(*arrays, strict=True))
