"""Split into training, validation and test sequences."""

import math
from collections.abc import Hashable, Sequence
from datetime import UTC, date
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from nounroll.data.checks import whole_number

PARTS = ("train", "validation", "test")
_SPLIT = "three shares such as (0.8, 0.1, 0.1), or the name of a part for each sequence"


def split_parts(count: int, split: Any, groups: Any, seed: int, times: Any = None) -> list[str]:
    """Assign one of ``PARTS`` to each of ``count`` sequences; no part is empty.

    Args:
        count: number of sequences.
        split: three shares, or the name of a part for each sequence.
        groups: a value for each sequence, or None; sequences with the same value share a part, and shares count values.
        seed: seed of the random split by shares.
        times: a time for each sequence, or None; the parts are then in order of time, the test part last.

    Raises:
        ValueError: the one-line message has the argument, its value and the allowed values.
    """
    given = _listed("split", split, _SPLIT)
    if given and all(isinstance(name, str) for name in given):
        if times is not None:
            raise ValueError("times is set, and split names the part of each sequence; only one of them may be given")
        parts, among = _named(count, given, groups), _counted(count, "sequence")
    elif times is not None:
        if groups is not None:
            raise ValueError("times is set, and groups too; only one of them may be given")
        parts, among = _in_time(count, shares_of(split), times), f"{_counted(count, 'sequence')} in order of time"
    else:
        keys: list[Hashable] = list(range(count)) if groups is None else _keys(count, groups)
        among = _counted(len(set(keys)), "sequence" if groups is None else "group")
        parts = _drawn(shares_of(split), keys, seed)
    check_parts(split, among, set(parts))
    return parts


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def check_parts(split: Any, among: str, found: set[str]) -> None:
    """Refuse a split that leaves a part empty.

    Args:
        split: the user's argument.
        among: name of the split items in the error.
        found: the non-empty parts.
    """
    for part in PARTS:
        if part not in found:
            shown = (
                "split names the parts"
                if isinstance(_listed("split", split, _SPLIT)[0], str)
                else f"split is {split!r}"
            )
            raise ValueError(f"{shown}; of {among} the {part} part gets none, and each part must have at least one")


def cut_times(times: np.ndarray, shares: list[float]) -> np.ndarray:
    """Return the first times of the validation and test parts, by shares; equal times are in one part."""
    ordered = np.sort(times)
    ends = np.cumsum(shares) / sum(shares) * len(ordered)
    return ordered[np.clip(np.round(ends[:2]).astype(int), 0, len(ordered) - 1)]


def as_times(name: str, values: Any) -> np.ndarray:
    """Return times as an array; dates of Python or pandas become datetime64, in UTC if they have a time zone.

    Raises:
        ValueError: only some of the dates have a time zone.
    """
    found = np.asarray(values)
    given = found.tolist() if found.dtype == object and found.ndim == 1 else []
    if not given or not all(isinstance(one, date) for one in given):
        return found
    if len({getattr(one, "tzinfo", None) is None for one in given if one == one}) > 1:  # NaT has none
        raise ValueError(f"{name} holds dates with and without a time zone; give all of them one, or none")
    return np.array([_instant(one) for one in given])


def _instant(when: Any) -> np.datetime64:
    if hasattr(when, "to_datetime64"):  # a Timestamp of pandas, which may hold nanoseconds
        return when.to_datetime64()
    return np.datetime64(when.astimezone(UTC).replace(tzinfo=None) if getattr(when, "tzinfo", None) else when)


def _in_time(count: int, shares: list[float], times: Any) -> list[str]:
    given = as_times("times", times)
    if given.shape != (count,) or given.dtype.kind not in "iufM":
        raise ValueError(
            f"times is {given.dtype} of shape {given.shape}; it must hold a number or a date for each of the {count}"
            " sequences, or one for each of their steps"
        )
    unknown = np.isnat(given) if given.dtype.kind == "M" else ~np.isfinite(given)
    if unknown.any():
        raise ValueError(f"times[{int(unknown.argmax())}] is {given[unknown][0]}; every sequence needs a time")
    places = np.searchsorted(cut_times(given, shares), given, side="right")
    return [PARTS[place] for place in places.tolist()]


def _named(count: int, names: list[str], groups: Any) -> list[str]:
    if len(names) != count:
        raise ValueError(f"split has {len(names)} names; there must be one for each of the {count} sequences")
    for i, name in enumerate(names):
        if name not in PARTS:
            raise ValueError(f"split[{i}] is {name!r}; it must be train, validation or test")
    if groups is not None:
        raise ValueError("groups is set, and split names the part of each sequence; only one of them may be given")
    return list(map(str, names))


def shares_of(split: Any) -> list[float]:
    """Check and return three shares.

    Raises:
        ValueError: ``split`` is not three shares.
    """
    given = _listed("split", split, _SPLIT)
    shares = [float(share) for share in given if isinstance(share, Real)]
    if len(shares) != len(given) or len(given) != 3 or not all(0 <= s < math.inf for s in shares) or sum(shares) <= 0:
        shown = f"{split!r}" if len(given) <= 8 else f"{len(given)} values"
        raise ValueError(f"split is {shown}; it must be {_SPLIT}")
    return shares


def _keys(count: int, groups: Any) -> list[Hashable]:
    """Return the group of each sequence as a hashable value."""
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
        return bool(value == value)  # nan does not equal itself, so it is in no group
    except TypeError:  # it has no hash, or it is pandas.NA, whose truth is unknown
        return False


def _drawn(shares: list[float], keys: list[Hashable], seed: int) -> list[str]:
    """Draw a part for each key. NumPy guarantees that RandomState's stream never changes, so neither does the split."""
    whole_number("seed", seed, 0, 2**32 - 1)
    groups = list(dict.fromkeys(keys))
    ends = np.cumsum(shares) / sum(shares) * len(groups)
    parts: dict[Hashable, str] = {}
    for place, number in enumerate(np.random.RandomState(seed).permutation(len(groups))):
        parts[groups[number]] = PARTS[int(np.searchsorted(ends[:2], place + 0.5))]
    return [parts[key] for key in keys]


def _listed(name: str, values: Any, wanted: str) -> list[Any]:
    if hasattr(values, "columns"):
        if len(values.columns) != 1:
            raise ValueError(f"{name} is a data frame of {len(values.columns)} columns; give one of them, {wanted}")
        values = values.to_numpy()[:, 0]
    found = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(found, str | bytes) or not isinstance(found, Sequence):
        raise ValueError(f"{name} is {values!r}; it must be {wanted}")
    return list(found)
