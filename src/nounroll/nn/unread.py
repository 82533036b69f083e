"""Skipping of the backward pass for values that no loss uses."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from nounroll.nn.transforms import is_transformed


def unread_costs_nothing(values: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Return the values unchanged. If their whole gradient is 0, the backward pass stops here.

    An unused slice has a gradient of zeros, which torch would otherwise propagate back. All other gradients stay the
    same, bit for bit. Compiled code and the transforms of torch.func cannot make this choice, and always propagate.
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
