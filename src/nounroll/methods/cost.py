"""What training costs in FLOPs, counted by torch and not guessed."""

from collections.abc import Mapping
from typing import Any

from torch.utils.flop_counter import FlopCounterMode

from nounroll.batch import Batch
from nounroll.data.task import SequenceTask, draw
from nounroll.methods.base import Method
from nounroll.seeding import generator
from nounroll.student import Student

_ROWS = 2


def training_cost(
    methods: Mapping[str, Method], task: SequenceTask, tokens: Mapping[str, int], batch_size: int
) -> dict[str, float]:
    """FLOPs of a run, from the time steps it trained on at each "method/length".

    Returns:
        flops: forward and backward, by torch's counter (multiply and add are two), fused kernels counted
            through their stepped twins.
        sequential_flops: those on the longest chain of dependent steps, were time and batch spread over
            enough processors: one time step's worth a training step for SMT, T for BPTT, and for DMT a
            forward rollout over T and a window's worth of corrections.
    """
    total = sequential = 0.0
    for key, count in tokens.items():
        name, stage = key.split("/")
        span = int(stage)
        method = methods[name]
        batch = draw(task, _ROWS, span, 0, "trial")
        per_token = _count(method, batch) / (_ROWS * span)
        total += per_token * count
        steps = count / (batch_size * span)
        sequential += steps * method.sequential_flops(per_token, step_flops(method.student, batch), span)
    return {"flops": total, "sequential_flops": sequential}


def step_flops(student: Student, batch: Batch) -> float:
    """FLOPs of one forward step of the cell, for one sequence."""
    with FlopCounterMode(display=False) as counter:
        student.step(batch.inputs[:, 0], student.initial_memory(batch.batch_size))
    return counter.get_total_flops() / batch.batch_size


def _count(method: Method, batch: Batch) -> float:
    """FLOPs of one loss and its gradients."""
    cell: Any = method.student.cell
    fused = hasattr(cell, "unroll")
    if fused:
        cell.unroll = None  # the counter cannot look into fused kernels
    try:
        with FlopCounterMode(display=False) as counter:
            method(batch, generator(0, "cost"), 0.5)["loss"].backward()
    finally:
        if fused:
            del cell.unroll
        method.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())
