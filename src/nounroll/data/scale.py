"""The scale of real inputs and targets, measured once on a task's training part, so that any unit trains like 1."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nounroll.batch import Real, Space
from nounroll.data.task import SequenceTask, draw

_STEPS, _LEAST, _MOST = 2**16, 32, 512  # time steps that are drawn, and bounds on their sequences
_NUMBERS = 2**24  # that are drawn at most
_CLOSE = 0.1  # a mean and a standard deviation so near to 0 and 1 are left as they are
_FARTHEST = 10.0  # standardised values end here: a rare event far out sets the scale, and not the many zeros
_FLAT = 1e-6  # a spread of so much of the largest value is rounding
_SMALLEST, _LARGEST = 1e-18, 1e18  # whose squares single precision holds


def measured(task: SequenceTask, length: int) -> tuple[Space, Space]:
    """The spaces of a task's inputs and targets, with the scale of real ones that have none.

    The draws are the same for every run of a task at a length, whatever its seed.

    Args:
        task: whose training part is drawn from.
        length: T.

    Raises:
        ValueError: numbers are too large or too small for single precision.
    """
    spaces = {"inputs": task.inputs, "targets": task.targets}
    unknown = [name for name, space in spaces.items() if isinstance(space, Real) and space.scale is None]
    if unknown:
        width = max(space.d for space in spaces.values() if isinstance(space, Real))
        rows = min(_MOST, max(_LEAST, _STEPS // length), max(2, _NUMBERS // (length * width)))
        batch = draw(task, rows, length, 0, "scale")
        seen = {"inputs": batch.inputs[_read(batch.mask)], "targets": batch.targets[batch.mask]}
        for name in unknown:
            spaces[name] = _space(f"{type(task).__name__}: {name}", seen[name])
    return spaces["inputs"], spaces["targets"]


def _read(mask: Bool[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
    """True up to the last scored step of each row: what comes after it is padding, or as good as that."""
    return mask.flip(1).cummax(1).values.flip(1)


def _space(name: str, values: Float[Tensor, "N d"]) -> Real:
    """The space of these values."""
    plain = Real(values.shape[-1])
    if not len(values):
        return plain
    values = values.double().cpu()
    largest, mean = values.abs().amax(0), values.mean(0)
    spread, farthest = values.std(0, correction=0), (values - mean).abs().amax(0)
    flat = farthest <= _FLAT * largest
    shift = torch.where(flat, 0.0, mean)
    scale = torch.where(flat, largest.where(largest > 0, 1.0), torch.maximum(spread, farthest / _FARTHEST))
    for j in range(plain.d):
        if not (float(scale[j]) >= _SMALLEST and float(largest[j]) <= _LARGEST):
            raise ValueError(
                f"{name}[..., {j}] are of the size {float(largest[j]):.1g} and vary by {float(spread[j]):.1g};"
                f" single precision needs {_SMALLEST:g} to {_LARGEST:g}, give them in another unit"
            )
    if bool((shift.abs() <= _CLOSE).all()) and bool((scale.log().abs() <= math.log1p(_CLOSE)).all()):
        return plain
    return Real(plain.d, tuple(shift.tolist()), tuple(scale.tolist()))
