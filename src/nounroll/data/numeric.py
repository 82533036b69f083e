"""Conversion of a user's values to arrays of numbers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_numbers(name: str, values: Any) -> np.ndarray:
    """Return an array of whole or real numbers, with nan for masked values, None and NA.

    Args:
        name: the argument's name in errors.
        values: an array, a tensor, nested lists of numbers or of tensors, or a column of pandas.

    Raises:
        ValueError: they are something else.
    """
    try:
        found = as_array(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is not an array of numbers: {' '.join(str(error).split())}") from None
    if found.dtype == object:
        found = _without_objects(name, found)
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds values of type {found.dtype}; it must hold whole or real numbers")
    return found


def as_array(values: Any) -> np.ndarray:
    """Return an array without gradients, in the memory of the CPU, with nan for masked values."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().resolve_neg()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    if isinstance(values, list | tuple) and any(isinstance(one, Tensor) for one in values):
        return np.asarray([as_array(one) for one in values])
    if isinstance(values, np.ma.MaskedArray) and values.mask.any():
        return np.ma.filled(values.astype(np.float64), np.nan)
    return np.asarray(values)


def _without_objects(name: str, found: np.ndarray) -> np.ndarray:
    """Convert objects to numbers, which are whole if all of them are."""
    for value in found.flat:
        if isinstance(value, str | bytes):
            raise ValueError(f"{name} holds {value!r:.80}; it must hold whole or real numbers")
    try:
        direct = np.array(found.tolist())
        if direct.dtype.kind in "biuf":
            return direct
        numbers = [np.nan if value is None or repr(value) == "<NA>" else float(value) for value in found.flat]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} holds values of type object; it must hold whole or real numbers") from None
    return np.array(numbers).reshape(found.shape)
