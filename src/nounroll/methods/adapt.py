"""Adaptation: a trained network learns another task and keeps what it has learnt before."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import parametrize

from nounroll.core.batch import Batch
from nounroll.core.processes import mean
from nounroll.core.ranges import at_least
from nounroll.data.task import SequenceTask, drawn
from nounroll.methods.base import Method, State
from nounroll.models.student import Student
from nounroll.nn.frozen import frozen
from nounroll.objectives.divergence import divergence
from nounroll.objectives.dynamics import VARIANCE_FLOOR
from nounroll.objectives.readout import masked_mean, readout_loss, taught

# update -> start of the names of weights that learn, as a regular expression
_PARTS = {
    "all": "",
    "readout": r"head\.",
    "low-rank": r"head\.|cell\..*parametrizations\.\w+\.0\.",
    "start": "empty_memory",
}


@dataclass(frozen=True, kw_only=True)
class AdaptSettings:
    """Settings that preserve a network's memory while it learns another task.

    Args:
        anchor: weight of the penalty on changes from the old network: of its memories, as a share of their variance,
            and of its predictions, in nats (learning without forgetting, Li & Hoiem 2016, arXiv 1606.09282; for
            memories see ``Adapt``). 0 disables it.
        rehearse: number of old sequences relative to the batch, to which they are added, and weight of their loss in
            the total. The old task gives them, or the old network generates them. The anchor then acts on these
            sequences; without them, on those of the new task.
        update: the weights that learn: all; only the readout, on unchanged memories; the readout and a low-rank update
            of each weight matrix of the cell (``nounroll.nn.low_rank``); or only m_∅.
    """

    anchor: float = 0.7
    rehearse: float = 0.25
    update: Literal["all", "readout", "low-rank", "start"] = "all"

    def __post_init__(self) -> None:
        at_least("adapt.anchor", self.anchor, 0)
        at_least("adapt.rehearse", self.rehearse, 0)
        if self.rehearse >= 1:
            raise ValueError(f"adapt.rehearse is {self.rehearse}; it must be less than 1")


class Adapt(Method):
    """BPTT on the new task, with a loss on old sequences and a penalty on the distance to the old network.

    With a for ``anchor``, r for ``rehearse`` and old values with a bar::

        (1 - r) -log p(y | new task)  +  r -log p(y | old sequences)
            +  a ( |m_t - m̄_t|^2 / var(m̄)  +  KL(p̄ || p) )

    The last two are means over all steps of the old sequences, or of the new ones if r is 0. The part of a memory that
    the readout sees is compared at every step, the whole memory only at the last: some kernels do not return the rest.
    With a new readout, only memories are compared, and old sequences have no loss. With a = r = 0 the method is BPTT.

    Args:
        student: the student to adapt.
        old: the old network, which stays unchanged.
        settings: settings of the method.
        rehearsal: source of old sequences; None if r is 0.
        keeps_readout: the student keeps the old readout.
    """

    has_settings = True
    summary = "Adaptation taught it another task, and held it to what it was."

    def __init__(
        self,
        student: Student,
        old: Student,
        settings: AdaptSettings,
        rehearsal: SequenceTask | None,
        *,
        keeps_readout: bool,
    ) -> None:
        super().__init__()
        self.student, self.settings, self.rehearsal = student, settings, rehearsal
        self.old, self.keeps_readout = old.requires_grad_(False), keeps_readout

    def forward(
        self, batch: Batch, state: State, generator: torch.Generator, progress: float
    ) -> tuple[dict[str, Tensor], State]:
        share = self.settings.rehearse
        with frozen(self.student, but=_PARTS[self.settings.update]), parametrize.cached():
            losses = {"readout": self._readout(batch)}
            loss = losses["readout"]
            if share or self.settings.anchor:
                held = self._old_sequences(batch, generator) if share else batch
                losses |= self._held(held, generator)
            if "rehearsed" in losses:
                loss = (1 - share) * loss + share * losses["rehearsed"]
            loss = loss + self.settings.anchor * (losses.get("memory", 0.0) + losses.get("prediction", 0.0))
        return {"loss": loss, **losses}, {}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return per_token * length

    def _readout(self, batch: Batch) -> Float[Tensor, ""]:
        features, _ = self.student.features(batch.inputs, resets=batch.resets)
        return readout_loss(self.student.head, self.student.targets, features, batch.targets, batch.mask)

    def _old_sequences(self, batch: Batch, generator: torch.Generator) -> Batch:
        assert self.rehearsal is not None
        rows = max(1, round(self.settings.rehearse * batch.batch_size))
        length = min(batch.length, self.rehearsal.max_length or batch.length)
        return drawn(self.rehearsal, rows, length, generator).to(batch.inputs.device)

    def _held(self, held: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Compute the loss on old sequences, and the distance of memories and predictions from the old network's."""
        student, space = self.student, self.student.targets
        features, last = student.features(held.inputs, resets=held.resets)
        outputs = student.head(features) if self.keeps_readout else None
        found: dict[str, Tensor] = {}
        if self.settings.rehearse and outputs is not None:
            found["rehearsed"] = masked_mean(taught(space, outputs, held.targets), held.mask)
        if not self.settings.anchor:
            return found
        with torch.no_grad():
            old_features, old_last = self.old.features(held.inputs, resets=held.resets)
            expected = self.old.head(old_features) if outputs is not None else None
        found["memory"] = _away(features, old_features) + _away(last, old_last)
        if outputs is not None and expected is not None:
            apart = divergence(space, outputs, expected, generator)
            found["prediction"] = masked_mean(apart, torch.ones_like(apart, dtype=torch.bool))
        return found


def _away(values: Float[Tensor, "B *n"], old: Float[Tensor, "B *n"]) -> Float[Tensor, ""]:
    """Mean squared distance, as a share of the variance of the old values."""
    spread = mean(old.flatten(0, -2).var(dim=0, correction=0).mean())
    return mean((values - old).square().mean()) / spread.clamp(min=VARIANCE_FLOOR)
