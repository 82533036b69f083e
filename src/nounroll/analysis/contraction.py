"""Contraction of a cell along its own rollout, which decides whether a parallel rollout converges soon."""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nounroll.models.student import Student
from nounroll.rollout.parallel import jacobian

_NOTHING = 1e-30  # length of an error that has faded away
_AT_ONCE = 256  # time steps whose Jacobians are in memory together


@torch.no_grad()
def contraction(student: Student, inputs: Shaped[Tensor, "1 T *x"], generator: torch.Generator) -> float:
    """The largest Lyapunov exponent, in nats a step: below 0 small errors of a memory fade, above 0 they grow.

    It is the mean growth of the logarithm of a random small error's length on the way through ``inputs``, from m_∅.
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
