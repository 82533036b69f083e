"""Conversion of NumPy scalars and arrays, tensors, paths and devices to plain Python values."""

import operator
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def plain(value: Any) -> Any:
    """Convert a value to plain numbers, strings, lists and dictionaries, as YAML and JSON hold them."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | torch.Tensor):
        return plain(value.tolist())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, torch.device):
        return str(value)
    return [plain(one) for one in value] if isinstance(value, tuple | list | range) else value


def count(name: str, value: object) -> int:
    """Convert a value to an int.

    Raises:
        ValueError: the value is not an integer of at least 1.
    """
    try:
        found = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        found = 0
    if found < 1:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
    return found
