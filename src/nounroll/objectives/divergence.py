"""Divergence between the predictions of two networks."""

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
    """Compute KL(q || p) in nats, for each element. q gets no gradient.

    It is exact if an element is one symbol. Otherwise it is log q(y) - log p(y) for one y drawn from q, an unbiased
    estimate.

    Args:
        space: space of the elements.
        outputs: the parameters of p.
        expected: the parameters of q.
        generator: source of the draws.
    """
    expected = expected.detach()
    if space.symbols is not None:
        q = expected.float().log_softmax(-1)
        return F.kl_div(outputs.float().log_softmax(-1), q, reduction="none", log_target=True).sum(-1)
    drawn = space.sample(expected.flatten(0, -2), generator).view(*expected.shape[:-1], *space.event_shape)
    return space.log_prob(expected, drawn) - space.log_prob(outputs, drawn)
