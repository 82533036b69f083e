"""Contraction of a cell along its rollout, which decides how fast a parallel rollout converges."""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nounroll.models.student import Student
from nounroll.rollout.parallel import jacobian

_NOTHING = 1e-30  # length below which an error counts as vanished
_AT_ONCE = 256  # time steps whose Jacobians are in memory together


@torch.no_grad()
def contraction(student: Student, inputs: Shaped[Tensor, "1 T *x"], generator: torch.Generator) -> float:
    """Estimate the largest Lyapunov exponent, in nats per step: below 0 small errors fade, above 0 they grow.

    It is the mean growth of the logarithm of a small random error's length along the rollout of ``inputs`` from m_∅.
    """
    memories = student.rollout(inputs)[:, :-1].flatten(2)
    error = torch.randn(memories.shape[-1], generator=generator).to(memories)
    grown = 0.0
    for before, x in zip(memories.split(_AT_ONCE, dim=1), inputs.split(_AT_ONCE, dim=1), strict=True):

        def step(flat: Float[Tensor, "1 t D"], x: Tensor = x) -> Float[Tensor, "1 t D"]:
            return student.step(x[0], flat[0].unflatten(-1, student.memory_shape)).flatten(1)[None]

        for slope in jacobian(step, before)[0]:
            error = slope @ (error / error.norm().clamp(min=_NOTHING))
            grown += math.log(max(float(error.norm()), _NOTHING))
    return grown / inputs.shape[1]
