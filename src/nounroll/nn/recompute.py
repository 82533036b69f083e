"""Recomputation: a backward pass computes activations again, which takes less memory and more work.

Gradients are the same; no part may draw random numbers from torch's global generator.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

T = TypeVar("T")


def again(run: Callable[..., T], *given: Any) -> T:
    """Return ``run(*given)``, keeping its arguments alone for the gradient (Chen et al. 2016, arXiv 1604.06174)."""
    if not torch.is_grad_enabled():
        return run(*given)
    return checkpoint(run, *given, use_reentrant=False, preserve_rng_state=False)  # type: ignore[return-value]


def in_parts(
    run: Callable[[Tensor], Float[Tensor, "B t *y"]], x: Float[Tensor, "B T *x"], size: int
) -> Float[Tensor, "B T *y"]:
    """``run`` on ``size`` time steps after another, each part computed again for its gradient.

    ``run`` must take each time step by itself.
    """
    return torch.cat([again(run, part) for part in x.split(size, dim=1)], dim=1)
