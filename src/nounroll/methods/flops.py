"""FLOPs of a function call, counted by torch in the current thread only."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from nounroll.core.modes import ONE_AT_A_TIME

T = TypeVar("T")


def count_flops(run: Callable[[], T]) -> tuple[float, T]:
    """Count the FLOPs of the matrix products, convolutions and attention of a call, and return its result too.

    Attention counts as its matrix products: two forward, four backward, for every kernel.
    """
    with ONE_AT_A_TIME, _Counter(display=False, custom_mapping=_ATTENTION) as counter:
        returned = run()
    return float(counter.get_total_flops()), returned


class _Counter(FlopCounterMode):
    """Torch's counter without its module tracker, whose hooks affect all threads."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.mod_tracker: Any = _NoModules()


class _NoModules:
    parents = ("Global",)

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


def _forward(query: Any, key: Any, value: Any, *rest: Any, **named: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _backward(gradient: Any, query: Any, key: Any, value: Any, *rest: Any, **named: Any) -> int:
    return 2 * sdpa_flop_count(query, key, value)


_KERNELS = ("flash", "efficient", "cudnn")
_NAMES = [f"_scaled_dot_product_{kind}_attention" for kind in _KERNELS]
_NAMES += ["_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_fused_attention_overrideable"]
_ATTENTION = {getattr(torch.ops.aten, name): _forward for name in _NAMES}
_ATTENTION |= {getattr(torch.ops.aten, f"{name}_backward"): _backward for name in _NAMES}
