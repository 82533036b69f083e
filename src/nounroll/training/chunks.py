"""Chunks of streams: conversion and scale of a learner's arguments."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from nounroll.core.batch import Space
from nounroll.core.notices import notice
from nounroll.models.student import Student

_FEW = 16  # elements; too few to estimate a scale


def as_rows(name: str, values: Any, space: Space, rows: int) -> Shaped[Tensor, "B T *x"]:
    """Convert a chunk to a tensor (B, T, ...). A single stream may omit B, and a single coordinate may omit d.

    Args:
        name: name of the argument, for the message.
        values: array or tensor.
        space: space of an element.
        rows: B.

    Raises:
        ValueError: the shape does not fit, or there are no steps.
    """
    values = values.detach().cpu() if isinstance(values, Tensor) else np.asarray(values)
    if not isinstance(values, Tensor) and values.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds values of the kind {values.dtype}; it must hold numbers")
    found, event = torch.as_tensor(values), space.event_shape
    axes = 1 if rows == 1 else 2
    if event == (1,) and found.dim() == axes:
        found = found[..., None]
    if rows == 1 and found.dim() == 1 + len(event):
        found = found[None]
    if found.dim() != 2 + len(event) or len(found) != rows or tuple(found.shape[2:]) != event:
        first = "(T" if rows == 1 else f"({rows}, T"
        wanted = ", ".join([first, *map(str, event)]) + (",)" if first == "(T" and not event else ")")
        raise ValueError(f"{name} has the shape {np.shape(values)}; {space} in {rows} rows needs {wanted}")
    if not found.shape[1]:
        raise ValueError(f"{name} is empty; a chunk has at least one step")
    return found


def take_scale(student: Student, inputs: Shaped[Tensor, "B T *x"], targets: Shaped[Tensor, "B T *y"] | None) -> None:
    """Set a new student's scale from its first chunk, if its spaces have no scale yet."""
    if not (student.inputs.unmeasured or student.targets.unmeasured):
        return
    found = []
    for name, space, values in (("x", student.inputs, inputs), ("y", student.targets, targets)):
        rows = space.convert(inputs if values is None else values).flatten(0, 1)
        good = rows[~space.invalid(rows).view(len(rows), -1).any(1)]
        if space.unmeasured and len(good) < _FEW and values is not None:
            notice(
                f"the scale of {name} is taken from {len(good)} elements and is kept;"
                " a longer first chunk gives a better scale"
            )
        found.append(space.measured(name, good, targets=name == "y") if space.unmeasured else space)
    student.rescale(*found)
