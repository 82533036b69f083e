"""Padding: values of a batch where nothing is scored, which need not be of its space."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from nounroll.core.batch import Batch, Space


def without_padding(batch: Batch, inputs: Space, targets: Space) -> Batch:
    """The batch with ``zeros`` of the space in place of nan, -100 and the like, where no score depends on them.

    These are targets that are not scored, and inputs after the last scored step of their row. A nan before it is left,
    and refused by ``Batch.check``: the memory would read it. Values of the space are left everywhere.
    """
    if batch.mask.dtype != torch.bool or batch.mask.dim() != 2 or batch.mask.all():
        return batch
    unread = ~batch.mask.flip(1).cummax(1).values.flip(1)
    return replace(
        batch,
        inputs=_cleared(inputs, batch.inputs, unread),
        targets=_cleared(targets, batch.targets, ~batch.mask),
    )


def _cleared(space: Space, values: Shaped[Tensor, "B T *x"], where: Bool[Tensor, "B T"]) -> Shaped[Tensor, "B T *x"]:
    """The values with ``zeros`` at these steps, where they are none of the space's. ``Batch.check`` looks at shapes."""
    if tuple(values.shape) != (*where.shape, *space.event_shape):
        return values
    bad = space.invalid(values) & where.view(*where.shape, *[1] * len(space.event_shape))
    return (
        torch.where(bad, space.zeros(*where.shape, device=values.device).to(values.dtype), values)
        if bad.any()
        else values
    )
