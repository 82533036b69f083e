"""Weights that are held still."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(module: nn.Module, but: str | None = None) -> Iterator[None]:
    """Inside this context the module's weights get no gradient; its inputs still do.

    Args:
        module: whose weights are held.
        but: what the names of those begin with that go on learning; none do when left out, all where it is "".
    """
    held = [p for n, p in module.named_parameters() if p.requires_grad and (but is None or not n.startswith(but))]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)
