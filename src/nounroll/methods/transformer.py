"""Transformer baseline: no recurrent network, no memory, the same targets."""

import torch
from torch import Tensor

from nounroll.core.batch import Batch, each_part
from nounroll.methods.base import Method, State
from nounroll.objectives.readout import masked_mean, taught
from nounroll.rollout.transformer import CausalTransformer


class TransformerMethod(Method):
    """Negative log-likelihood of all targets at once, under a plain causal Transformer."""

    def __init__(self, model: CausalTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, batch: Batch, state: State, generator: torch.Generator, progress: float
    ) -> tuple[dict[str, Tensor], State]:
        outputs = each_part(self.model.predict, batch)
        loss = masked_mean(taught(self.model.targets, outputs, batch.targets), batch.mask)
        return {"loss": loss, "readout": loss}, {}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return per_token
