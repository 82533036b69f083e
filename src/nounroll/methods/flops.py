"""FLOPs of a function call, counted in the current thread only."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count, shape_wrapper

from nounroll.core.modes import ONE_AT_A_TIME

T = TypeVar("T")


def count_flops(run: Callable[[], T]) -> tuple[float, T]:
    """Count the FLOPs of the matrix products, convolutions and attention of a call, and return its result too.

    Attention counts as its matrix products: two forward, four backward, for every kernel.
    """
    with ONE_AT_A_TIME, _Counter() as counter:
        returned = run()
    return float(counter.flops), returned


class _Counter(TorchDispatchMode):
    """Sum of torch's formulas over all operators. Torch's own counter also looks into modules, for all threads."""

    flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if formula := _FORMULAS.get(func.overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=found)
        return found


@shape_wrapper
def _forward(query: Any, key: Any, value: Any, *rest: Any, **named: Any) -> int:
    return sdpa_flop_count(query, key, value)


@shape_wrapper
def _backward(gradient: Any, query: Any, key: Any, value: Any, *rest: Any, **named: Any) -> int:
    return 2 * sdpa_flop_count(query, key, value)


@shape_wrapper
def _linear(x: Any, weight: Any, *rest: Any, **named: Any) -> int:
    return 2 * math.prod(x) * weight[0]


_KERNELS = ("flash", "efficient", "cudnn")
_NAMES = [f"_scaled_dot_product_{kind}_attention" for kind in _KERNELS]
_NAMES += ["_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_fused_attention_overrideable"]
_FORMULAS = {**flop_registry, **{getattr(torch.ops.aten, name): _forward for name in _NAMES}}
_FORMULAS |= {getattr(torch.ops.aten, f"{name}_backward"): _backward for name in _NAMES}
if hasattr(torch.ops.mkldnn, "_linear_pointwise"):  # of ``nounroll.nn.linear``
    _FORMULAS[torch.ops.mkldnn._linear_pointwise] = _linear
