"""Conversion of a user's values to arrays of numbers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_numbers(name: str, values: Any, gap: int | None = None) -> np.ndarray:
    """Return an array of whole or real numbers, with nan for masked values, None and NA.

    Args:
        name: the argument's name in errors.
        values: an array, a tensor, nested lists of numbers or of tensors, or a column of pandas.
        gap: a number in the place of nan if the others are whole.

    Raises:
        ValueError: they are something else.
    """
    if gap is not None and hasattr(values, "isna") and getattr(values.dtype, "kind", "O") in "biu":
        values = values.to_numpy(dtype=object)
    try:
        found = as_array(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is not an array of numbers: {' '.join(str(error).split())}") from None
    if found.dtype == object:
        found = _without_objects(name, found, gap)
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


def _without_objects(name: str, found: np.ndarray, gap: int | None) -> np.ndarray:
    """Convert objects to numbers, which are whole if all of them are."""
    for value in found.flat:
        if isinstance(value, str | bytes):
            raise ValueError(f"{name} holds {value!r:.80}; it must hold whole or real numbers")
    try:
        direct = np.array(found.tolist())
        if direct.dtype.kind in "biuf":
            return direct
        missing = [value is None or repr(value) == "<NA>" for value in found.flat]
        if gap is not None and all(
            no or isinstance(one, int | np.integer | np.bool_) for no, one in zip(missing, found.flat, strict=True)
        ):
            return np.where(np.reshape(missing, found.shape), gap, found).astype(np.int64)
        numbers = [np.nan if no else float(one) for no, one in zip(missing, found.flat, strict=True)]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} holds values of type object; it must hold whole or real numbers") from None
    return np.array(numbers).reshape(found.shape)
