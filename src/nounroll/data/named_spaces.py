"""Sequences with a space named by the user: values are checked, and no type is guessed."""

import torch
from torch import Tensor

from nounroll.core.batch import Space
from nounroll.data.ragged import NONE, Ragged


def in_space(name: str, found: Ragged, space: Space) -> Ragged:
    """Convert sequences to the precision of a space, and check them.

    Args:
        name: the argument's name in errors.
        found: sequences; a step of -100 or of only nan has no value and is not changed.
        space: the space named by the user.

    Raises:
        ValueError: a sequence is not of the space; the message has its index.
    """
    if found.values.is_floating_point() != space.dtype.is_floating_point or (
        tuple(found.values.shape[1:]) != space.event_shape
    ):
        named = "" if all(map(str.isdigit, space.columns)) else f", {', '.join(space.columns)}"
        real = f"real vectors of width {len(space.columns)}{named}"
        numbers = real if space.dtype.is_floating_point else "whole numbers"
        raise ValueError(f"{name} holds {found.kind}; {space} has {numbers}")
    values = found.values.to(space.dtype)
    there = known(values)
    bad = space.invalid(values) & there.view(-1, *[1] * (values.dim() - 1))
    if bool(bad.any()):
        step = int(bad.flatten(1).any(1).nonzero()[0]) if bad.dim() > 1 else int(bad.nonzero()[0])
        i = int(torch.searchsorted(found.starts, step, right=True)) - 1
        begin, end = found.starts[i : i + 2].tolist()
        filled = torch.where(there.view(-1, *[1] * (values.dim() - 1)), values, space.zeros(len(values)))
        space.check(f"{name}[{i}]", filled[begin:end])
    return Ragged(values, found.starts, found.columns)


def known(targets: Tensor) -> Tensor:
    """Mark the steps that hold a value, (*n,), for symbols (*n,) or numbers (*n, d)."""
    return ~targets.isnan().all(-1) if targets.is_floating_point() else targets != NONE
