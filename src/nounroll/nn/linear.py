"""Linear maps whose large products run on oneDNN where that is faster than torch's usual library.

torch multiplies matrices of 32-bit floats by MKL, which uses half of the vector width of an AMD processor with AVX-512.
oneDNN uses the whole width, with the same precision, and takes half the time. This module calls it by an operator of
torch's compiler: ``torch.backends.mkldnn.matmul.fp32_precision`` would call it for the products of all threads.
"""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nounroll.nn.transforms import is_transformed

_WORTH = 2**22  # multiplications from which oneDNN is faster


class Linear(nn.Linear):
    """``nn.Linear``, with faster products where the module's docstring says."""

    def forward(self, input: Float[Tensor, "... n"]) -> Float[Tensor, "... m"]:
        if _is_possible(input) and input.numel() * self.out_features >= _WORTH:
            return _Product.apply(input, self.weight, self.bias)  # type: ignore[no-any-return]
        return super().forward(input)


class _Product(torch.autograd.Function):
    """x W' + b; both passes call oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = x.contiguous()  # other layouts have no fast kernel
        ctx.save_for_backward(x, weight)
        return _by_onednn(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        rows = grad_outputs[0].flatten(0, -2).contiguous()
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            _by_onednn(rows, weight.T).view(x.shape) if of_x else None,
            _by_onednn(rows.T, x.flatten(0, -2).T) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute ``torch.nn.functional.linear``."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _is_possible(x: Tensor) -> bool:
    """Return whether oneDNN may multiply x; a compiled or exported network must not depend on x's size."""
    if torch.compiler.is_compiling() or is_transformed() or torch.is_autocast_enabled("cpu"):
        return False
    return _has_faster_products() and x.device.type == "cpu" and x.dtype == torch.float32 and x.dim() > 1


@cache
def _has_faster_products() -> bool:
    """Return whether oneDNN multiplies 32-bit floats by AVX-512 where MKL does not (see the module's docstring)."""
    able = getattr(torch.cpu, "get_capabilities", dict)()  # not in every version of torch
    is_wide = "AMD" in able.get("cpu_name", "") and able.get("avx512_f", False)
    return is_wide and hasattr(torch.ops.mkldnn, "_linear_pointwise")
