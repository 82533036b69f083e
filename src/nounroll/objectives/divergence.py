"""Divergence of one network's predictions from another's."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from nounroll.core.spaces.base import Space


def divergence(
    space: Space,
    outputs: Float[Tensor, "*n V"],
    expected: Float[Tensor, "*n V"],
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*n"]:
    """KL(q || p) in nats, for each element. q gets no gradient.

    Exact where an element is one symbol; elsewhere log q(y) - log p(y) of one y drawn from q: right on average.

    Args:
        space: of the elements.
        outputs: the parameters of p.
        expected: those of q.
        generator: source of the draws.
    """
    expected = expected.detach()
    if space.symbols is not None:
        q = expected.float().log_softmax(-1)
        return F.kl_div(outputs.float().log_softmax(-1), q, reduction="none", log_target=True).sum(-1)
    drawn = space.sample(expected.flatten(0, -2), generator).view(*expected.shape[:-1], *space.event_shape)
    return space.log_prob(expected, drawn) - space.log_prob(outputs, drawn)
