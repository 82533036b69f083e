"""Cost of training in FLOPs, counted by torch.

The count includes the matrix products, convolutions and attention of a method's loss and its gradients, over a whole
batch; a multiply and an add count as two. It excludes elementwise operations (gates, norms, a parallel scan), the
optimiser, drawing the data, and evaluations. Causal attention counts all pairs of positions, including masked ones.
Random choices are counted for one draw.
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
    2  # sequences: each further one costs nearly the same; the cost of SMT's spread grows faster for few memories
)


def step_cost(
    method: Method, task: SequenceTask, length: int, batch_size: int, accumulate: int = 1
) -> dict[str, float]:
    """Compute the cost of one time step of one sequence: the cost of a training step, divided by its time steps.

    Args:
        method: the method; its weights are not changed.
        task: source of the batch.
        length: T.
        batch_size: B.
        accumulate: parts that the batch is split into.

    Returns:
        flops: forward and backward. Rollouts are counted as parallel steps of the cell.
        sequential_flops: FLOPs on the longest chain of dependent steps, if time and batch were spread over enough
            processors. One training step counts T time steps for BPTT; one window for SMT and for truncated BPTT that
            carries its state; and for DMT a forward rollout over T plus the remaining cost of one window. Each of
            these chains counts as one step if the cell unrolls by a parallel scan.

        The cost of DMT is that of a step that asks its teacher; one that does not has the cost of ``Method.unaided``.
    """
    rows = min(_COUNTED, max(1, batch_size // accumulate))
    batch = batch_of_length(task, rows, length)
    per_token = _count(method, batch) / (rows * length)
    waits = 1 if getattr(_cell(method), "parallel", False) else length
    chain = method.sequential_flops(per_token, cell_flops(method, batch), waits)
    return {"flops": per_token, "sequential_flops": chain / (batch_size * length)}


def cell_flops(method: Method, batch: Batch) -> float:
    """Count the FLOPs of one forward step of the cell, for one sequence; 0 if there is no cell."""
    student: Any = getattr(method, "student", None)
    if student is None:
        return 0.0
    x = batch.to(_device(method)).inputs[:, 0]
    return count_flops(lambda: student.step(x, student.initial_memory(batch.batch_size)))[0] / batch.batch_size


def _count(method: Method, batch: Batch) -> float:
    """Count the FLOPs of one loss and its gradients; of a later step, if the method carries a state."""
    cell = _cell(method)
    stand_ins: dict[str, Any] = {}
    if cell is not None and not getattr(cell, "parallel", False):
        stand_ins = {"unroll": partial(_side_by_side, cell), "unroll_observed": None}
    for name, value in stand_ins.items():
        setattr(cell, name, value)  # changes this instance only, not its class
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
    """Stand-in for ``unroll`` with the same matrix products and gradients: all later steps are rows of one step.

    The counter cannot see inside fused kernels, and is slow for many small steps. The memories are not a real rollout.
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
    """Return the cell that the method trains; None for a baseline without a cell."""
    return getattr(getattr(method, "student", None), "cell", None)


def _device(method: Method) -> torch.device:
    return next(method.parameters()).device
