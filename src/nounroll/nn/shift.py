"""Token shift: each position also sees the one before it (RWKV, Peng et al. 2023, arXiv 2305.13048)."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from nounroll.nn.linear import Linear


class TokenShift(nn.Module):
    """Token shift, x_t + W x_{t-1}: the first layer sees pairs of neighbours, which takes attention two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.previous = Linear(width, width, bias=False)

    def forward(self, x: Float[Tensor, "B T width"]) -> Float[Tensor, "B T width"]:
        return x + F.pad(self.previous(x[:, :-1]), (0, 0, 1, 0))
