"""Sample paths: a network continues each series from the memory after its history."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nounroll.core.seeding import generator
from nounroll.estimators.base import by_length, padded
from nounroll.models.generation import Sampling
from nounroll.models.student import Student

_ROWS = 2**13  # paths in one batch


@torch.no_grad()
def sample_paths(
    student: Student,
    inputs: Sequence[np.ndarray],
    ahead: np.ndarray,
    horizon: int,
    paths: int,
    seed: int,
    changes: bool,
) -> np.ndarray:
    """Draw values of N series over the horizon, (N, paths, horizon).

    Args:
        student: the network, trained on the windows of ``nounroll.estimators.windows``.
        inputs: N histories, (T_i, d).
        ahead: (N, horizon - 1, a), values known ahead after each step but the last.
        horizon: number of steps.
        paths: sample paths per series.
        changes: whether draws are changes of the value.
        seed: seed of the draws. The draws of a series depend on its index, not on the other series.

    Raises:
        ValueError: the network's outputs are not finite.
    """
    found = np.empty((len(inputs), paths, horizon))
    for near in by_length(inputs):
        for start in range(0, len(near), max(1, _ROWS // paths)):
            numbers = near[start : start + max(1, _ROWS // paths)]
            lengths = [len(inputs[i]) for i in numbers]
            _, memory = student(padded(inputs, numbers), lengths=lengths)
            noise = [  # the noise of a step does not depend on the number of later steps
                torch.stack([student.targets.noise(paths, source) for _ in range(horizon)])
                for source in (generator(seed, "paths", i) for i in numbers)
            ]
            known = torch.from_numpy(ahead[numbers]).float().repeat_interleave(paths, dim=0)
            last = (
                torch.from_numpy(np.stack([inputs[i][-1, :1] for i in numbers])).float().repeat_interleave(paths, dim=0)
            )
            memory = memory.repeat_interleave(paths, dim=0)
            drawn = _written(student, memory, last if changes else None, torch.cat(noise, dim=1), known)
            found[numbers] = drawn.double().view(len(numbers), paths, horizon).numpy()
    if not np.isfinite(found).all():
        raise ValueError(
            "the network's outputs are not finite; train it again with another random_state, or for longer"
        )
    return found


def _written(student: Student, memory: Tensor, value: Tensor | None, noise: Tensor, ahead: Tensor) -> Tensor:
    """Draw values (B, horizon), each read at the next step. With a ``value`` (B, 1), draws are changes."""
    sampling, values = Sampling(), []
    for step, one in enumerate(noise):
        drawn = sampling.choose(student.targets, student.readout(memory), one)
        new = drawn[:, :1]
        values.append(new if value is None else value + new)
        value = None if value is None else values[-1]
        if step + 1 < len(noise):
            seen = [values[-1], torch.ones_like(new), drawn[:, 1:], ahead[:, step]]
            memory = student.step(torch.cat(seen, dim=1), memory)
    return torch.cat(values, dim=1)
