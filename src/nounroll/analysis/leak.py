"""Check that a teacher's memories do not depend on later inputs."""

from collections.abc import Callable

import torch
from torch import Tensor

from nounroll.core.batch import Batch


@torch.no_grad()
def leak(labels: Callable[[Tensor], Tensor], batch: Batch) -> float:
    """Measure how much the memories of a prefix change with the inputs after it, relative to their variance.

    Each sequence's second half is replaced by the next sequence's, or a single sequence's by its reverse. The memories
    of the first half must not change: the result is 0, or the rounding error of float32. With a teacher that sees the
    future, losses look excellent and memories are empty.
    """
    half = batch.length // 2
    strange = batch.inputs.roll(1, 0) if batch.batch_size > 1 else batch.inputs.flip(1)
    mixed = torch.cat([batch.inputs[:, :half], strange[:, half:]], dim=1)
    one, other = labels(batch.inputs)[:, : half + 1], labels(mixed)[:, : half + 1]
    variance = one.flatten(0, 1).var(dim=0, correction=0).mean()
    return float((one - other).square().mean(dim=(-2, -1)).max() / variance.clamp(min=1e-30))
