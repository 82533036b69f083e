"""Which sequences train, which choose the student, and which are measured at the end alone."""

import math
from collections.abc import Hashable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from nounroll.data.checks import whole_number

PARTS = ("train", "validation", "test")
_SPLIT = "three shares such as (0.8, 0.1, 0.1), or the name of a part for each sequence"


def split_parts(count: int, split: Any, groups: Any, seed: int) -> list[str]:
    """The part of each of ``count`` sequences: one of ``PARTS``, and none of the three is empty.

    Args:
        count: the sequences are 0 .. count - 1.
        split: three shares, or a name of a part for each sequence.
        groups: a value for each sequence, or None; sequences of one value get one part, and shares count values.
        seed: of the draw by shares.

    Raises:
        ValueError: in one line, naming the argument, its value and what is allowed.
    """
    given = _listed("split", split, _SPLIT)
    if given and all(isinstance(name, str) for name in given):
        parts, among = _named(count, given, groups), f"{count} sequences"
    else:
        keys: list[Hashable] = list(range(count)) if groups is None else _keys(count, groups)
        among = f"{len(set(keys))} {'sequences' if groups is None else 'groups'}"
        parts = _drawn(_shares(split, given), keys, seed)
    for part in PARTS:
        if part not in parts:
            shown = "split names the parts" if isinstance(given[0], str) else f"split is {split!r}"
            raise ValueError(f"{shown}; of {among} the {part} part gets none, and each part must have at least one")
    return parts


def _named(count: int, names: list[str], groups: Any) -> list[str]:
    if len(names) != count:
        raise ValueError(f"split has {len(names)} names; there must be one for each of the {count} sequences")
    for i, name in enumerate(names):
        if name not in PARTS:
            raise ValueError(f"split[{i}] is {name!r}; it must be train, validation or test")
    if groups is not None:
        raise ValueError("groups is set, and split names the part of each sequence; only one of them may be given")
    return list(map(str, names))


def _shares(split: Any, given: list[Any]) -> list[float]:
    shares = [float(share) for share in given if isinstance(share, Real)]
    if len(shares) != len(given) or len(given) != 3 or not all(0 <= s < math.inf for s in shares) or sum(shares) <= 0:
        shown = f"{split!r}" if len(given) <= 8 else f"{len(given)} values"
        raise ValueError(f"split is {shown}; it must be {_SPLIT}")
    return shares


def _keys(count: int, groups: Any) -> list[Hashable]:
    """The group of each sequence, as a value that equals another of the same group."""
    given = _listed("groups", groups, "a value for each sequence")
    if len(given) != count:
        raise ValueError(f"groups has {len(given)} values; there must be one for each of the {count} sequences")
    keys: list[Hashable] = []
    for i, key in enumerate(given):
        value: Any = key.tolist() if isinstance(key, Tensor | np.ndarray | np.generic) else key
        if not _is_key(value):
            raise ValueError(f"groups[{i}] is {value!r}; it must be a number or a name")
        keys.append(value)
    return keys


def _is_key(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return bool(value == value)  # nan is in no group, not even in its own


def _drawn(shares: list[float], keys: list[Hashable], seed: int) -> list[str]:
    """RandomState is the one stream of NumPy that is promised never to change, so neither does the split."""
    whole_number("seed", seed, 0, 2**32 - 1)
    groups = list(dict.fromkeys(keys))
    ends = np.cumsum(shares) / sum(shares) * len(groups)
    parts: dict[Hashable, str] = {}
    for place, number in enumerate(np.random.RandomState(seed).permutation(len(groups))):
        parts[groups[number]] = PARTS[int(np.searchsorted(ends[:2], place + 0.5))]
    return [parts[key] for key in keys]


def _listed(name: str, values: Any, wanted: str) -> list[Any]:
    found = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(found, str | bytes) or not isinstance(found, Sequence):
        raise ValueError(f"{name} is {values!r}; it must be {wanted}")
    return list(found)
