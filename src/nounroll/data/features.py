"""Inputs of the network at each step: values of the step, values known ahead, and values of the sequence."""

from typing import Any

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from nounroll.core.batch import Categorical, Real, Space
from nounroll.data.missing import observed_values, with_flags
from nounroll.data.ragged import Ragged, ends, read, read_array

_MOST_INDICATORS = 1000


def joined(
    inputs: Ragged, observed: Any, future: Any, static: Any, train: Bool[Tensor, "S"]
) -> tuple[Shaped[Tensor, "S *x"], Space]:
    """Build the network's inputs at every step of all sequences, and their space.

    If symbols are the only input, they stay symbols, with one more symbol for missing ones. Next to numbers they become
    0/1 columns, one for each symbol.

    Args:
        inputs, observed, future, static: arguments of ``Sequences``.
        train: mask of the training part's steps.
    """
    there = observed_values("inputs", inputs, observed)
    extra = []
    if future is not None:
        known = _ahead(inputs, read("future", future, gaps="values", real=True))
        extra.append(with_flags("future", known, ~known.values.isnan(), train))
    if static is not None:
        whole = _each("static", static, len(inputs))
        first = inputs.starts[:-1]
        flagged = with_flags("static", whole, ~whole.values.isnan(), train[first])
        extra.append(flagged.repeat_interleave(inputs.lengths, 0))
    if inputs.values.is_floating_point():
        columns = torch.cat([with_flags("inputs", inputs, there, train), *extra], 1)
        return columns, Real(columns.shape[1])
    symbols = int(inputs.values[there].max()) + 1 if bool(there.any()) else 1
    values = inputs.values.where(there, symbols)
    count = symbols + (not bool(there.all()))
    if not extra:
        return values, Categorical(count)
    if count > _MOST_INDICATORS:
        raise ValueError(
            f"inputs hold {count:,} symbols with future or static numbers; at most {_MOST_INDICATORS:,} are"
            " allowed, one 0/1 column each"
        )
    columns = torch.cat([torch.nn.functional.one_hot(values, count).float(), *extra], 1)
    return columns, Real(columns.shape[1])


def _ahead(inputs: Ragged, future: Ragged) -> Ragged:
    """Return row t + 1 of ``future`` for each step t."""
    if len(future) != len(inputs):
        raise ValueError(f"future has {len(future)} entries; there must be one for each of the {len(inputs)} inputs")
    wrong = (future.lengths != inputs.lengths + 1).nonzero()
    if len(wrong):
        i = int(wrong[0])
        steps = int(inputs.lengths[i])
        raise ValueError(
            f"future[{i}] has {int(future.lengths[i])} rows; it must have {steps + 1}: one for each of the {steps}"
            f" steps of inputs[{i}], and one for the step after"
        )
    return Ragged(after_first(future), inputs.starts, future.columns)


def after_first(values: Ragged) -> Shaped[Tensor, "S *x"]:
    """Return the rows of all steps but the first of each sequence."""
    rows = torch.ones(len(values.values), dtype=torch.bool)
    rows[values.starts[:-1]] = False
    return values.values[rows]


def _each(name: str, values: Any, count: int) -> Ragged:
    """Read one vector for each sequence."""
    if isinstance(values, Ragged):
        return values
    columns = tuple(map(str, values.columns)) if hasattr(values, "columns") else ()
    array = read_array(name, values, "N", gaps="values", real=True)
    if len(array) != count:
        raise ValueError(f"{name} has {len(array)} entries; there must be one for each of the {count} inputs")
    return Ragged(array, ends([1] * count), columns)
