"""Running average of the student's weights, used for evaluation and handover.

The weights of a single step are noisy while the learning rate is high. Their average over the last steps is nearly as
good as the weights after the rate has decayed. A student that is best in mid-run thus does not suffer from a high rate.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_ETA = 16.0  # the average covers about the last sixteenth of the steps


class Average:
    """Polynomial averaging (Shamir & Zhang 2013, arXiv 1212.1824): after step t the newest weights count (η+1)/(t+η).

    Args:
        model: the model whose weights are averaged.

    Attributes:
        weights: the average, by name; empty before the first update, and the model's own weights are then used.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after step 1, 2, ... to the average."""
        now = self.model.state_dict()
        if step <= 1 or not self.weights:
            self.weights = {name: t.detach().clone() for name, t in now.items()}
            return
        share = (_ETA + 1) / (step + _ETA)
        for name, t in self.weights.items():
            newest = now[name].detach()
            t.lerp_(newest, share) if t.is_floating_point() else t.copy_(newest)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Replace the model's weights by the average within the context."""
        if not self.weights:
            yield
            return
        now = {name: t.detach().clone() for name, t in self.model.state_dict().items()}
        self.model.load_state_dict(self.weights)
        try:
            yield
        finally:
            self.model.load_state_dict(now)

    def settle(self) -> None:
        """Replace the model's weights by the average permanently, and start a new average."""
        if self.weights:
            self.model.load_state_dict(self.weights)
        self.weights = {}
