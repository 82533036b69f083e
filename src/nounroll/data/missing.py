"""Missing values: the network reads the previous value, and a 0/1 column marks it as missing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nounroll.core.notices import notice
from nounroll.data.ragged import Ragged


def with_flags(
    name: str, found: Ragged, observed: Bool[Tensor, "S d"], train: Bool[Tensor, "S"]
) -> Float[Tensor, "S e"]:
    """Fill the gaps, and append a 0/1 column for each column with gaps, 1 where the value is missing.

    A missing value is filled with the previous value of its sequence, or at the start with the training part's mean.

    Args:
        name: the argument's name.
        found: sequences of real numbers.
        observed: mask, False where a value is missing.
        train: mask of the training part's steps.

    Raises:
        ValueError: a column has no value in the training part.
    """
    if bool(observed.all()):
        return found.values
    values, gaps = found.values.clone(), []
    begin = np.repeat(found.starts[:-1].numpy(), found.lengths.numpy())
    for j in range(values.shape[1]):
        there = observed[:, j]
        if bool(there.all()):
            continue
        known = there & train
        if not bool(known.any()):
            raise ValueError(f"{name}: column {found.column(j)} has no value in the training part; leave it out")
        mean = values[known, j].double().mean()
        before = np.maximum.accumulate(np.where(there.numpy(), np.arange(len(there)), -1))
        carried = torch.from_numpy(before >= begin)
        values[:, j] = values[torch.from_numpy(before).clamp(min=0), j].where(carried, mean.float())
        gaps.append((j, ~there))
    missing = sum(int(gap.sum()) for _, gap in gaps)
    columns = ", ".join(f"{found.column(j)}: {int(gap.sum()):,}" for j, gap in gaps[:3])
    more = f" and {len(gaps) - 3} columns more" if len(gaps) > 3 else ""
    notice(
        f"{name}: {missing:,} of {observed.numel():,} values are missing (column {columns}{more}); the network reads"
        " the previous value, and a 0/1 column for each of these columns marks missing values"
    )
    return torch.cat([values, torch.stack([gap for _, gap in gaps], 1).float()], 1)


def observed_values(name: str, found: Ragged, given: Sequence[Any] | None) -> Bool[Tensor, "S *d"]:
    """Mark the observed values: not nan, and not False in a ``given`` mask.

    Raises:
        ValueError: a mask is not a bool array of its sequence's shape.
    """
    real = found.values.is_floating_point()
    there = ~found.values.isnan() if real else torch.ones_like(found.values, dtype=torch.bool)
    if given is None:
        return there
    if isinstance(given, str | bytes | dict) or not hasattr(given, "__len__") or len(given) != len(found):
        raise ValueError(f"observed must hold a mask for each of the {len(found)} sequences of {name}")
    masks = []
    for i, (mask, values) in enumerate(zip(given, there.split(found.lengths.tolist()), strict=True)):
        one = np.asarray(mask)
        if one.dtype != bool or one.shape not in ((len(values),), tuple(values.shape)):
            raise ValueError(
                f"observed[{i}] is {one.dtype} of shape {one.shape}; it must be bool, of shape ({len(values)},)"
                + (f" or {tuple(values.shape)}" if real else "")
            )
        mask = torch.from_numpy(np.ascontiguousarray(one))
        masks.append(mask if mask.dim() == values.dim() else mask[:, None].expand(values.shape))
    return there & torch.cat(masks)
