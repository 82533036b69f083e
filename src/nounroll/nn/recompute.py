"""Recomputation of activations in the backward pass, which takes less memory and more work.

Gradients are the same; no recomputed part may draw random numbers from torch's global generator.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

T = TypeVar("T")


def again(run: Callable[..., T], *given: Any) -> T:
    """Return ``run(*given)``, storing only its arguments for the gradient (Chen et al. 2016, arXiv 1604.06174)."""
    if not torch.is_grad_enabled():
        return run(*given)
    return checkpoint(run, *given, use_reentrant=False, preserve_rng_state=False)  # type: ignore[return-value]


def in_parts(
    run: Callable[[Tensor], Float[Tensor, "B t *y"]], x: Float[Tensor, "B T *x"], size: int
) -> Float[Tensor, "B T *y"]:
    """Apply ``run`` to ``size`` time steps at a time, each part recomputed for its gradient.

    ``run`` must handle each time step independently.
    """
    return torch.cat([again(run, part) for part in x.split(size, dim=1)], dim=1)
