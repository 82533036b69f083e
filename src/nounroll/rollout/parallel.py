"""Rollouts parallel over time, for any cell: guess all memories at once, and correct them until every step fits.

A rollout m_t = f(m_{t-1}, x_t) is one large system of equations. With r_t = f(m_{t-1}, x_t) - m_t of the current
guess, each iteration adds the solution of a linear recurrence, found by a parallel scan in 2 log2 T steps:

    δ_t = A_t δ_{t-1} + r_t,   δ_{-1} = 0

A solver is given by its choice of A:

    newton     the Jacobian df/dm (DEER; Lim et al. 2023, arXiv 2309.12252): fewest iterations, (K d)^3 work a step
    diagonal   an estimate of its diagonal (quasi-DEER; Gonzalez et al. 2024, arXiv 2407.19115): elementwise work
    jacobi     zero, which is fixed-point iteration (Jacobi or Picard): only cell steps, for cells that forget quickly

A correction that would move a memory far outside the cell's range is replaced by the residual. For every A, the first
i memories are exact after i iterations, so T iterations always suffice; a contractive cell needs far fewer. A chaotic
cell needs nearly all of them: such steps are rolled out one by one, with a warning.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nounroll.core.ranges import at_least, more_than
from nounroll.models.student import Student
from nounroll.nn.scan import affine_scan

Solver = Literal["newton", "diagonal", "jacobi"]
Step: TypeAlias = Callable[[Tensor], Tensor]  # all (B, T, D) memories before a step -> those after it

_MOST_NUMBERS = 2**26  # numbers in the Jacobians of one chunk: 256 MB in float32
_PROBES = 4  # random vectors for the estimate of the diagonal


@dataclass(frozen=True)
class ParallelRollout:
    """Result of a parallel rollout: the memories, and the work of the solver.

    Attributes:
        memories: (B, T+1, K, d), index 0 is the memory before the first input. They carry no gradients.
        iterations: corrections of all memories of a chunk, summed over chunks.
        depth: dependent cell steps and levels of the scan; a plain rollout has T.
        residual: the largest |m_t - f(m_{t-1}, x_t)| over all rows, steps and coordinates.
        stepped: time steps that did not converge and were rolled out one by one.
    """

    memories: Float[Tensor, "B T1 K d"]
    iterations: int
    depth: int
    residual: float
    stepped: int


@torch.no_grad()
def parallel_rollout(
    student: Student,
    inputs: Shaped[Tensor, "B T *x"],
    memory: Float[Tensor, "B K d"] | None = None,
    *,
    solver: str = "newton",
    tolerance: float = 1e-5,
    iterations: int = 64,
    chunk: int | None = None,
    guess: Float[Tensor, "B T K d"] | None = None,
) -> ParallelRollout:
    """Compute ``student.rollout`` without gradients, for all time steps of a chunk at once.

    Args:
        student: any student; only its cell's ``step`` is used.
        inputs: x_0 .. x_{T-1}.
        memory: memory before x_0; m_∅ by default.
        solver: see this file's docstring.
        tolerance: a chunk is done when its last correction moved no memory by more than this, and every memory is
            within this distance of one step of the cell. Errors of a cell that is not contractive can grow beyond it.
        iterations: largest number of iterations of a chunk.
        chunk: time steps that are solved together; chunks follow one another. None takes all steps; with ``newton``, as
            many as have Jacobians of at most 256 MB in float32.
        guess: initial guess of the memories after each input, such as the teacher's. By default, one step of the cell
            from ``memory``. It changes the number of iterations, but not the result.

    Raises:
        ValueError: a setting is out of range.

    Warns:
        RuntimeWarning: a chunk did not converge. Its steps were rolled out one by one.
    """
    if solver not in get_args(Solver):
        raise ValueError(f"solver is {solver!r}; it must be one of {', '.join(get_args(Solver))}")
    more_than("tolerance", tolerance, 0)
    at_least("iterations", iterations, 1)
    before = student.initial_memory(len(inputs)) if memory is None else memory
    span = _chunk(chunk, solver, len(inputs), before[0].numel(), inputs.shape[1])
    found, used, depth, failed = [before[:, None]], 0, 0, []
    for first in range(0, inputs.shape[1], span):
        part = inputs[:, first : first + span]
        near = None if guess is None else guess[:, first : first + span].flatten(2)
        memories, taken, off = _solve(student, part, found[-1][:, -1], near, solver, tolerance, iterations)
        used, depth = used + taken, depth + _depth(solver, taken, part.shape[1])
        if not off <= tolerance:
            failed.append((first, part.shape[1], off))
            memories, depth = student.stepped_rollout(part, found[-1][:, -1])[:, 1:], depth + part.shape[1]
        found.append(memories)
    if failed:
        _warn(failed, solver, tolerance, iterations)
    whole = torch.cat(found, dim=1)
    return ParallelRollout(whole, used, depth, _residual(student, inputs, whole), sum(steps for _, steps, _ in failed))


def _chunk(chunk: int | None, solver: str, rows: int, size: int, length: int) -> int:
    """Return the number of time steps that are solved together."""
    if chunk is not None:
        at_least("chunk", chunk, 1)
        return chunk
    return max(1, length if solver != "newton" else min(length, _MOST_NUMBERS // (rows * size**2)))


def _solve(
    student: Student, inputs: Tensor, start: Tensor, guess: Tensor | None, solver: str, tolerance: float, limit: int
) -> tuple[Float[Tensor, "B T K d"], int, float]:
    """Return memories after each input, iterations, and the last error (infinite or NaN after a divergence)."""

    def step(before: Tensor) -> Tensor:
        rows = student.step(inputs.flatten(0, 1), before.reshape(-1, *start.shape[1:]))
        return rows.reshape(before.shape)

    first = start.flatten(1)[:, None]
    memories = step(first.expand(-1, inputs.shape[1], -1)) if guess is None else guess
    shifted = torch.cat([first, memories[:, :-1]], dim=1)
    residual, off = step(shifted) - memories, math.inf
    for iteration in range(1, limit + 1):
        change = _correction(solver, step, shifted, residual, iteration, reach=2 * (memories + residual).abs().max())
        memories = memories + change
        shifted = torch.cat([first, memories[:, :-1]], dim=1)
        residual = step(shifted) - memories
        off = float(torch.maximum(change.abs().max(), residual.abs().max()))
        if off <= tolerance or not math.isfinite(off):
            return memories.unflatten(-1, start.shape[1:]), iteration, off
    return memories.unflatten(-1, start.shape[1:]), limit, off


def _correction(
    solver: str, step: Step, before: Tensor, residual: Tensor, iteration: int, reach: Tensor
) -> Float[Tensor, "B T D"]:
    """Compute δ; the residual instead if δ exceeds ``reach``, twice the largest coordinate that the cell wrote."""
    if solver == "jacobi":
        return residual
    draws = torch.Generator().manual_seed(iteration)
    slope = jacobian(step, before) if solver == "newton" else diagonal(step, before, draws).clamp(-1, 1)
    change = affine_scan(slope, residual)
    return torch.where(change.abs().amax(-1, keepdim=True) <= reach, change, residual)


# -- Jacobians ------------------------------------------------------------------------------------


def jacobian(step: Step, before: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D D"]:
    """Compute dm_t / dm_{t-1} of every row and step: D products with the transposed Jacobian, in parallel."""
    size = before.shape[-1]
    basis = torch.eye(size, dtype=before.dtype, device=before.device)[:, None, None]
    return _pulled_back(step, before, basis.expand(size, *before.shape)).movedim(0, -2)


def diagonal(step: Step, before: Float[Tensor, "B T D"], generator: torch.Generator) -> Float[Tensor, "B T D"]:
    """Estimate the Jacobian's diagonal (Hutchinson), E[v ⊙ Jᵀv] over vectors of random signs (Bekas et al. 2007).

    The draws change the number of iterations, but not the result.
    """
    signs = torch.randint(2, (_PROBES, *before.shape), generator=generator).to(before) * 2 - 1
    return (signs * _pulled_back(step, before, signs)).mean(0)


def _pulled_back(step: Step, before: Tensor, vectors: Float[Tensor, "n B T D"]) -> Float[Tensor, "n B T D"]:
    """Compute Jᵀv for n vectors at each row and step."""
    with torch.enable_grad():
        point = before.detach().requires_grad_()
        return torch.autograd.grad(step(point), point, vectors, is_grads_batched=True, materialize_grads=True)[0]


# -- reporting -----------------------------------------------------------------------------------


def _depth(solver: str, iterations: int, length: int) -> int:
    """Count dependent steps: two cell steps for the first guess; per iteration one cell step and the scan's levels."""
    levels = 0 if solver == "jacobi" else 2 * math.ceil(math.log2(max(length, 1)))
    return 2 + iterations * (1 + levels)


def _residual(student: Student, inputs: Tensor, memories: Float[Tensor, "B T1 K d"]) -> float:
    """Compute the largest |m_t - f(m_{t-1}, x_t)|."""
    after = student.step(inputs.flatten(0, 1), memories[:, :-1].flatten(0, 1))
    return float((after - memories[:, 1:].flatten(0, 1)).abs().max())


def _warn(failed: list[tuple[int, int, float]], solver: str, tolerance: float, iterations: int) -> None:
    first, steps, off = failed[0]
    more = f" (and {len(failed) - 1} more chunks)" if len(failed) > 1 else ""
    warnings.warn(
        f"the {solver} solver did not converge on steps {first} to {first + steps - 1}{more}: it is off by {off:.1e}"
        f" after at most {iterations} iterations, tolerance is {tolerance:g}; these steps were rolled out one by one."
        f" Try a smaller chunk, more iterations or another solver",
        RuntimeWarning,
        stacklevel=3,
    )
