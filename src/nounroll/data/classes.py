"""Classes: names, weights, and a check that training has each of them."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nounroll.core.notices import notice
from nounroll.data.parts import PARTS

_MOST = 1000.0  # largest ratio of weights


def named(labels: Any) -> tuple[Any, list[str]]:
    """Convert names to symbols 0, 1, ... and return the sorted names; leave other labels unchanged.

    Raises:
        ValueError: some labels are names, and another is not.
    """
    given = labels.tolist() if hasattr(labels, "tolist") and not isinstance(labels, Tensor) else labels
    if not isinstance(given, list | tuple) or not any(isinstance(one, str) for one in given):
        return labels, []
    for i, one in enumerate(given):
        if not isinstance(one, str):
            raise ValueError(f"labels[{i}] is {one!r}; other labels are names, and this one must be too")
    names = sorted(set(map(str, given)), key=by_size)  # numpy's names are shown in another way
    places = {name: place for place, name in enumerate(names)}
    return np.array([places[name] for name in given]), names


def by_size(name: str) -> tuple[int, float, str]:
    """Sort key of names: numbers by value, then words."""
    return (0, float(name), name) if re.fullmatch(r"[+-]?\d+(\.\d+)?", name, re.ASCII) else (1, 0.0, name)


def check(name: str, symbols: Int[Tensor, "N"], parts: Int[Tensor, "N"], classes: list[str]) -> None:
    """Refuse labels of a single class, and a held-out class that training does not have.

    Args:
        name: the argument's name in errors.
        symbols: the class of each sequence.
        parts: the part of each sequence, an index of ``PARTS``.
        classes: names of the symbols, if they have any.

    Raises:
        ValueError: the message has the class and the sequence.
    """
    found = symbols.unique()
    if len(found) < 2:
        raise ValueError(f"{name} hold only the class {_name(int(found[0]), classes)}; there must be two or more")
    unseen = (~torch.isin(symbols, symbols[parts == 0])).nonzero()
    if len(unseen):
        i = int(unseen[0])
        raise ValueError(
            f"{name}[{i}] is {_name(int(symbols[i]), classes)}, in the {PARTS[int(parts[i])]} part, and training has no"
            " sequence of it; give more of it, leave it out, or draw another split by seed"
        )


def tell_unseen(name: str, symbols: Int[Tensor, "S"], parts: Int[Tensor, "S"], classes: list[str]) -> None:
    """Give a notice of scored symbols that are held out and not in training; arguments as for ``check``."""
    unseen = symbols[(parts > 0) & ~torch.isin(symbols, symbols[parts == 0])].unique()
    if len(unseen):
        shown = ", ".join(_name(one, classes) for one in unseen[:3].tolist())
        shown += f" and {len(unseen) - 3} more" if len(unseen) > 3 else ""
        notice(f"{name}: the symbols {shown} are only in the held-out parts; the network cannot learn them")


def repeated(
    weights: Any, symbols: Int[Tensor, "N"], numbers: Int[Tensor, "M"], classes: list[str]
) -> Int[Tensor, "M2"]:
    """List the training sequences of an epoch, repeated by the weight of their class; the least weight counts once.

    Args:
        weights: "balanced", or a number for each class.
        symbols: the class of each sequence.
        numbers: indices of the training sequences.
        classes: names of the symbols, if they have any.
    """
    mine = symbols[numbers]
    wanted = _wanted(weights, mine, classes)
    least = min(wanted.values())
    rate = torch.tensor([wanted[c] / least for c in mine.tolist()], dtype=torch.float64)
    rank = torch.zeros(len(mine), dtype=torch.float64)
    for c in wanted:
        rank[mine == c] = torch.arange(int((mine == c).sum()), dtype=torch.float64)
    times = (((rank + 1) * rate + 1e-9).floor() - (rank * rate + 1e-9).floor()).long()
    return numbers.repeat_interleave(times)


def of_steps(weights: Any, symbols: Int[Tensor, "S"], count: int, classes: list[str]) -> tuple[float, ...]:
    """Compute the weight of a step of each class, with mean 1 over the scored steps of training.

    Args:
        weights: "balanced", or a number for each class.
        symbols: classes of the scored steps of training.
        count: number of classes; a class that is not in training has weight 1.
        classes: names of the symbols, if they have any.
    """
    wanted = _wanted(weights, symbols, classes)
    counts = symbols.bincount(minlength=count).double()
    table = torch.ones(count, dtype=torch.float64)
    table[list(wanted)] = torch.tensor(list(wanted.values()), dtype=torch.float64)
    seen = counts > 0
    table[seen] *= counts.sum() / (counts * table)[seen].sum()
    return tuple(table.tolist())


def _wanted(weights: Any, symbols: Int[Tensor, "S"], classes: list[str]) -> dict[int, float]:
    """Return the weight of each class that occurs."""
    counts = symbols.bincount().double()
    if isinstance(weights, str) and weights == "balanced":
        wanted = {c: 1 / float(counts[c]) for c in range(len(counts)) if counts[c]}
    else:
        wanted = _given(weights, symbols.unique().tolist(), classes)
    least = min(wanted.values())
    if max(wanted.values()) > _MOST * least:
        raise ValueError(
            f"weights differ by {max(wanted.values()) / least:,.0f} times; at most {_MOST:,.0f} is allowed"
        )
    return wanted


def _given(weights: Any, symbols: list[int], classes: list[str]) -> dict[int, float]:
    if hasattr(weights, "to_dict") and not hasattr(weights, "columns"):  # a Series of pandas
        weights = weights.to_dict()
    if not isinstance(weights, Mapping):
        shown = f"of type {type(weights).__name__}" if hasattr(weights, "shape") else repr(weights)
        raise ValueError(f"weights is {shown}; it must be 'balanced', or a number for each class")
    names = {classes[c] if classes else c: c for c in symbols}
    for name in (*names, *weights):
        value: Any = weights.get(name)
        if (
            name not in names
            or not isinstance(value, int | float | np.integer | np.floating)
            or not 0 < value < float("inf")
        ):
            raise ValueError(
                f"weights of class {name!r} is {value!r}; there must be a number above 0 for each of"
                f" {', '.join(map(repr, names))}"
            )
    return {c: float(weights[name]) for name, c in names.items()}


def _name(symbol: int, classes: list[str]) -> str:
    return repr(classes[symbol]) if classes else str(symbol)
