"""Padding: values of a batch at unscored steps, which may be outside the space."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from nounroll.core.batch import Batch, Space


def without_padding(batch: Batch, inputs: Space, targets: Space) -> Batch:
    """Replace values outside the space (nan, -100) by its ``zeros`` where no score depends on them.

    This concerns unscored targets, and inputs after the last scored step of their row. ``Batch.check`` refuses a nan
    before that step, because the memory would read it. Values of the space are not changed.
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
    """Replace values outside the space by ``zeros`` at these steps. ``Batch.check`` checks shapes."""
    if tuple(values.shape) != (*where.shape, *space.event_shape):
        return values
    bad = space.invalid(values) & where.view(*where.shape, *[1] * len(space.event_shape))
    return (
        torch.where(bad, space.zeros(*where.shape, device=values.device).to(values.dtype), values)
        if bad.any()
        else values
    )
