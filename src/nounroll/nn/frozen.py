"""Freezing of weights."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(module: nn.Module, but: str | None = None) -> Iterator[None]:
    """Freeze the module's weights in this context: they get no gradient, but its inputs still do.

    Args:
        module: module whose weights are frozen.
        but: regular expression that matches the start of the names of weights that continue to learn; by default none
            does, with "" all do.
    """
    held = [p for n, p in module.named_parameters() if p.requires_grad and (but is None or not re.match(but, n))]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)
