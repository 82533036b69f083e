"""Torch's modes without effects on other threads, so that runs in one process do not disturb each other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import init
from torch.overrides import TorchFunctionMode

# Torch's device and dispatch modes set flags of the whole process, and each mode restores the flags that it found.
ONE_AT_A_TIME = threading.RLock()

_FACTORIES = ("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial")
_IN_PLACE = ("normal_", "uniform_", "random_", "bernoulli_", "exponential_", "log_normal_", "cauchy_", "geometric_")
_STARTS = ("uniform_", "normal_", "trunc_normal_", "orthogonal_", "sparse_")
_STARTS = (*_STARTS, *(f"{kind}_{shape}_" for kind in ("kaiming", "xavier") for shape in ("uniform", "normal")))
_DRAWS = {
    *(getattr(torch, name) for name in _FACTORIES),
    *(getattr(torch.Tensor, name) for name in _IN_PLACE),
    *(getattr(init, name) for name in _STARTS),
}


class drawing_from(TorchFunctionMode):
    """Make torch draw from a generator in this thread, unless another one is given.

    Otherwise the initial weights of modules come from torch's global generator, which all threads share.

    Args:
        generator: a CPU generator.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS and kwargs.get("generator") is None:
            kwargs = {**kwargs, "generator": self.generator}
        return func(*args, **kwargs)


@contextmanager
def on_meta() -> Iterator[None]:
    """Build modules on torch's meta device: they have shapes alone, and draw no random numbers."""
    with ONE_AT_A_TIME, torch.device("meta"):
        yield
