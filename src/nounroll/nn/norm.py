"""Root-mean-square normalisation (Zhang & Sennrich 2019, arXiv 1910.07467)."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def rms_normalise(x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """Scale each vector to root mean square 1. There are no parameters: the result lies on a sphere."""
    return F.rms_norm(x, x.shape[-1:], eps=1e-6)
