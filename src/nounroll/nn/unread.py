"""Spare the backward pass of values that no loss has read."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from nounroll.nn.transforms import is_transformed


def unread_costs_nothing(values: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The values as they are. Where their whole gradient is 0, nothing that made them is gone through backward.

    A slice that is not read has a gradient of zeros, which torch would carry all the way back. The other gradients are
    what they were, to the bit. Compiled code and the transforms of torch.func, which cannot choose so, go through all.
    """
    if torch.compiler.is_compiling() or is_transformed():
        return values
    return _Unread.apply(values)  # type: ignore[return-value]


class _Unread(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor | None:
        return gradients[0] if gradients[0].any() else None
