"""Likelihood of targets under a readout."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from nounroll.core import processes
from nounroll.core.batch import Space


def negative_log_likelihood(
    space: Space, outputs: Float[Tensor, "*n V"], targets: Shaped[Tensor, "..."]
) -> Float[Tensor, "*n"]:
    """Compute -log p(y) in nats, for each element; for a density, in the unit of the targets."""
    return -space.log_prob(outputs, targets)


def training_loss(space: Space, outputs: Float[Tensor, "*n V"], targets: Shaped[Tensor, "..."]) -> Float[Tensor, "*n"]:
    """Compute -log p(y) in nats, whose gradient the space may weight (``Space.loss``)."""
    return space.loss(outputs, targets)


def masked_mean(values: Float[Tensor, "*n"], mask: Bool[Tensor, "*n"]) -> Float[Tensor, ""]:
    """Mean over True elements of the whole batch; 0 (with a gradient of 0) if there are none."""
    return processes.total(torch.where(mask, values, 0.0).sum()) / processes.total(mask.sum()).clamp(min=1)


def taught(
    space: Space,
    outputs: Float[Tensor, "*n V"],
    targets: Shaped[Tensor, "..."],
    teacher: Float[Tensor, "*n V"] | None = None,
    share: float = 0.0,
) -> Float[Tensor, "*n"]:
    """Compute (1 - share) * -log p(y) + share * KL(q || p) in nats per element (Hinton et al. 2015, arXiv 1503.02531).

    Args:
        space: space of the targets, whose weights apply; Categorical if there is a teacher.
        outputs: the parameters of p.
        targets: y.
        teacher: logits of q, which get no gradient; None for only -log p(y).
        share: weight of the teacher.
    """
    losses = training_loss(space, outputs, targets)
    if teacher is None:
        return space.counted(losses, targets)
    expected = teacher.detach().float().log_softmax(-1)
    divergence = F.kl_div(outputs.float().log_softmax(-1), expected, reduction="none", log_target=True).sum(-1)
    return space.counted((1 - share) * losses + share * divergence, targets)


def readout_loss(
    head: Callable[[Float[Tensor, "*n F"]], Float[Tensor, "*n V"]],
    space: Space,
    features: Float[Tensor, "*n F"],
    targets: Shaped[Tensor, "..."],
    mask: Bool[Tensor, "*n"],
    teacher: Float[Tensor, "*n V"] | None = None,
    share: float = 0.0,
) -> Float[Tensor, ""]:
    """Compute the mean of ``taught`` over the scored elements of the batch; 0 (with a gradient of 0) if there are none.

    The head runs only at scored elements: with one label at the end, this saves nearly all of its work.

    Args:
        head: features -> the parameters of p(y).
        space: space of the targets.
        features: input of the head.
        targets: y.
        mask: True where y is scored.
        teacher, share: see ``taught``.
    """
    if not mask.is_meta and not bool(mask.all()):  # the meta device has no mask values
        features, targets, teacher = features[mask], targets[mask], None if teacher is None else teacher[mask]
    losses = taught(space, head(features), targets, teacher, share)
    return processes.total(losses.sum()) / processes.total(mask.sum()).clamp(min=1)
