"""Drift: the distance of a student's memories from its teacher's over time, and its equilibrium."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nounroll.objectives.dynamics import dynamics

_NEAR = 0.1  # tolerance for reaching the level, as a share of it


@dataclass(frozen=True)
class Drift:
    """Drift over time, drift_t = MSE(m̂_t, m_t) / Var(m), averaged over sequences (arXiv 2606.06479, Sec. 4).

    Var(m) is the variance of the teacher's memories over sequences and time, averaged over coordinates. Drift 0 means
    equal memories, 1 the distance of the mean memory, and 2 the distance of an unrelated sequence's memory.

    Attributes:
        curve: drift_t for t = 0 .. T - 1.
        variance: Var(m).
        level: the equilibrium, mean of the last quarter of the curve.
        reached: the first t at which the curve is within 10 % of it.
        levels_off: whether the two halves of the last quarter differ by less than 10 % of the level. If not, drift
            still changes at T, and ``level`` is no equilibrium.
    """

    curve: list[float]
    variance: float
    level: float
    reached: int
    levels_off: bool


def drift(
    own: Float[Tensor, "N T1 K d"], labels: Float[Tensor, "N T1 K d"], there: Bool[Tensor, "N T"] | None = None
) -> Drift:
    """Compute the drift of a student's memories from its teacher's, both with m_∅ at index 0.

    ``there`` are the steps that count, at least one at each t; None for all.
    """
    counted = torch.ones(labels[:, 1:].shape[:2], dtype=torch.bool) if there is None else there
    seen = labels[:, 1:][counted].double()
    variance = float(seen.var(dim=0, correction=0).mean())
    away = dynamics(own[:, 1:].double(), labels[:, 1:].double())
    curve = torch.where(counted, away, 0.0).sum(0) / counted.sum(0)
    return Drift((curve / variance if variance else curve).tolist(), variance, *_equilibrium(curve, variance))


def _equilibrium(curve: Float[Tensor, "T"], variance: float) -> tuple[float, int, bool]:
    curve = curve / variance if variance else curve
    tail = curve[-max(1, len(curve) // 4) :]
    level = float(tail.mean())
    near = (curve - level).abs() <= _NEAR * level
    first, second = tail[: len(tail) // 2], tail[len(tail) // 2 :]
    moved = float((second.mean() - first.mean()).abs()) if len(first) else 0.0
    reached = int(torch.nonzero(near)[0]) if near.any() else len(curve) - 1
    return level, reached, moved <= _NEAR * level
