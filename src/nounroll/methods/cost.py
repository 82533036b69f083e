"""Cost of training in FLOPs, counted by torch and not guessed.

Counted are the matrix products, convolutions and attention of a method's loss and of its gradients, over a whole
batch: a multiply and an add are two. Not counted are elementwise operations (gates, norms, a parallel scan), the
optimiser, drawing the data, and evaluations. Causal attention counts all pairs of positions, also those it masks.
What depends on chance is counted for one draw.
"""

from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nounroll.core.batch import Batch
from nounroll.core.seeding import generator
from nounroll.data.task import SequenceTask, batch_of_length
from nounroll.methods.base import Method, State
from nounroll.methods.flops import count_flops

COSTS = ("flops", "sequential_flops")
_COUNTED = (
    2  # sequences: a further one costs nearly the same; SMT's spread of memories grows faster while there are few
)


def step_cost(
    method: Method, task: SequenceTask, length: int, batch_size: int, accumulate: int = 1
) -> dict[str, float]:
    """Cost of one time step of one sequence: the cost of a training step, divided by its time steps.

    Args:
        method: what is trained; its weights are left as they are.
        task: source of the batch.
        length: T.
        batch_size: B.
        accumulate: parts that the batch is cut into.

    Returns:
        flops: forward and backward. Rollouts are counted through steps of the cell, side by side.
        sequential_flops: those on the longest chain of dependent steps, were time and batch spread over
            enough processors: T time steps' worth a training step for BPTT, a window's worth for SMT and for truncated
            BPTT that carries its state, and for DMT a forward rollout over T and what is left of a window's worth.
            All are one where the cell unrolls by a parallel scan.
    """
    rows = min(_COUNTED, max(1, batch_size // accumulate))
    batch = batch_of_length(task, rows, length)
    per_token = _count(method, batch) / (rows * length)
    waits = 1 if getattr(_cell(method), "parallel", False) else length
    chain = method.sequential_flops(per_token, cell_flops(method, batch), waits)
    return {"flops": per_token, "sequential_flops": chain / (batch_size * length)}


def cell_flops(method: Method, batch: Batch) -> float:
    """FLOPs of one forward step of the cell, for one sequence; 0 where there is no cell."""
    student: Any = getattr(method, "student", None)
    if student is None:
        return 0.0
    x = batch.to(_device(method)).inputs[:, 0]
    return count_flops(lambda: student.step(x, student.initial_memory(batch.batch_size)))[0] / batch.batch_size


def _count(method: Method, batch: Batch) -> float:
    """Count the FLOPs of one loss and its gradients: of a later step, where a method carries a state."""
    cell = _cell(method)
    stand_ins: dict[str, Any] = {}
    if cell is not None and not getattr(cell, "parallel", False):
        stand_ins = {"unroll": partial(_side_by_side, cell), "unroll_observed": None}
    for name, value in stand_ins.items():
        setattr(cell, name, value)  # of this module alone; its class has the true ones
    try:
        flops, state = _count_once(method, batch, {})
        return _count_once(method, batch, state)[0] if state else flops
    finally:
        for name in stand_ins:
            delattr(cell, name)
        method.zero_grad(set_to_none=True)


def _side_by_side(
    cell: Any, inputs: Shaped[Tensor, "B T *x"], memory: Float[Tensor, "B K d"]
) -> Float[Tensor, "B T K d"]:
    """Stand-in for ``unroll`` with its matrix products and gradients: all steps but the first are rows of one step.

    The counter cannot look into fused kernels, and is slow over many small steps. The memories are no rollout.
    """
    first = cell.step(inputs[:, 0], memory)[:, None]
    rest = inputs[:, 1:]
    if not rest.shape[1]:
        return first
    before = first.detach().expand(-1, rest.shape[1], -1, -1).flatten(0, 1)
    before = before.requires_grad_(first.requires_grad)
    after = cell.step(rest.flatten(0, 1), before).unflatten(0, rest.shape[:2])
    return torch.cat([first, after], dim=1)


def _count_once(method: Method, batch: Batch, state: State) -> tuple[float, State]:
    def once() -> State:
        losses, after = method(batch.to(_device(method)), state, generator(0, "cost"), 0.5)
        losses["loss"].backward()
        return after

    return count_flops(once)


def _cell(method: Method) -> Any:
    """The cell that the method trains; None for a baseline without one."""
    return getattr(getattr(method, "student", None), "cell", None)


def _device(method: Method) -> torch.device:
    return next(method.parameters()).device
