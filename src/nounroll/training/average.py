"""A running average of the student's weights, which is evaluated and handed over.

The weights of a step are noisy while the learning rate is high; their average over the last steps is nearly as good as
after the rate has fallen. So the best student of a run that was better half way is one that the rate has not spoilt.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_ETA = 16.0  # the average reaches back over about the last sixteenth of the steps


class Average:
    """Polynomial averaging (Shamir & Zhang 2013, arXiv 1212.1824): after step t the newest weights count (η+1)/(t+η).

    Args:
        model: whose weights are averaged.

    Attributes:
        weights: the average, by name; empty while nothing is averaged, and then the model stands for itself.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step 1, 2, ..."""
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
        """Inside, the model has the average as its weights."""
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
        """Give the model the average for good, and start anew."""
        if self.weights:
            self.model.load_state_dict(self.weights)
        self.weights = {}
