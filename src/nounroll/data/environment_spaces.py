"""Translation between gymnasium's spaces and the library's, and between their elements.

=================  =================================================
gymnasium          here
=================  =================================================
Discrete           Categorical
MultiBinary        Bits, flattened
Box                Real, flattened
MultiDiscrete      Product of a Categorical for each entry
Tuple, Dict        Product of the parts, with nested parts flattened
=================  =================================================
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from nounroll.core.spaces import Bits, Categorical, Product, Real, Space

KINDS = ("Discrete", "MultiBinary", "Box", "MultiDiscrete", "Tuple", "Dict")


@dataclass(frozen=True)
class Translation:
    """Translation of the elements of an environment's space.

    Attributes:
        name: the space's name in errors.
        theirs: gymnasium's space.
        space: the library's.
    """

    name: str
    theirs: Any
    space: Space

    @classmethod
    def of(cls, name: str, theirs: Any) -> "Translation":
        """Create the translation of a space.

        Raises:
            ValueError: this kind of space is not supported.
        """
        parts: dict[str, Any] = dict(_parts(name, theirs))
        if not parts:
            raise ValueError(f"{name} is {theirs}, which has no parts; it must have at least one")
        only = next(iter(parts.values()))
        alone = len(parts) == 1 and not isinstance(theirs, _kinds("MultiDiscrete", "Tuple", "Dict"))
        return cls(name, theirs, only if alone else Product(**parts))

    def read(self, batched: Any) -> Shaped[Tensor, "N *x"]:
        """Convert a batch of elements from a vector environment to an array of the library's space.

        Raises:
            ValueError: an element is not of the space.
        """
        columns = [torch.from_numpy(one) for one in self._columns(self.theirs, batched)]
        if self.space.symbols is not None:
            return columns[0][:, 0].long()
        return torch.cat([one.float() for one in columns], dim=1)

    def read_each(self, elements: Sequence[Any]) -> Shaped[Tensor, "N *x"]:
        """Convert a list of single elements; see ``read``."""
        return self.read(batched(self.theirs, elements))

    def write(self, values: Shaped[Tensor, "N *x"]) -> Any:
        """Convert an array to a batch for a vector environment; numbers are clipped to the bounds of their Box."""
        flat = values.detach().cpu().reshape(len(values), -1).numpy()
        return _written(self.theirs, flat)[0]

    def _columns(self, theirs: Any, values: Any) -> Iterator[np.ndarray]:
        """Yield the numbers of each part, (N, k)."""
        if isinstance(theirs, _kinds("Tuple", "Dict")):
            for key, part in _inside(theirs):
                yield from self._columns(part, values[key])
            return
        array = np.asarray(values)
        if array.shape[1:] != theirs.shape:
            raise ValueError(
                f"{self.name} is {theirs}, and an element has shape {array.shape[1:]}; its space has changed"
            )
        yield self._checked(theirs, array.reshape(len(array), -1))

    def _checked(self, theirs: Any, rows: np.ndarray) -> np.ndarray:
        """Check the rows, and count symbols from 0."""
        shown = rows
        if isinstance(theirs, _kinds("Box")):
            good = np.isfinite(rows)
        elif isinstance(theirs, _kinds("MultiBinary")):
            good = (rows == 0) | (rows == 1)
        else:
            rows = rows - np.asarray(theirs.start).reshape(1, -1)
            sizes = theirs.n if isinstance(theirs, _kinds("Discrete")) else theirs.nvec.reshape(1, -1)
            good = (rows >= 0) & (rows < sizes) & (rows == np.floor(rows))
        if not good.all():
            raise ValueError(
                f"{self.name} is {theirs}, and an element holds {shown[~good][0]}; it must be of the space"
            )
        return rows


def batched(theirs: Any, elements: Sequence[Any]) -> Any:
    """Stack single elements of a space to a batch."""
    if isinstance(theirs, _kinds("Tuple", "Dict")):
        parts = {key: batched(part, [one[key] for one in elements]) for key, part in _inside(theirs)}
        return parts if isinstance(theirs, _kinds("Dict")) else tuple(parts.values())
    try:
        return np.stack([np.asarray(one) for one in elements])
    except ValueError:
        shapes = sorted({np.shape(one) for one in elements})
        raise ValueError(f"elements of {theirs} have the shapes {shapes}; the space has changed") from None


def single(theirs: Any, side_by_side: Any, row: int) -> Any:
    """Take one element from a batch."""
    if isinstance(theirs, _kinds("Tuple", "Dict")):
        parts = {key: single(part, side_by_side[key], row) for key, part in _inside(theirs)}
        return parts if isinstance(theirs, _kinds("Dict")) else tuple(parts.values())
    return side_by_side[row]


def _kinds(*names: str) -> tuple[type, ...]:
    try:
        from gymnasium import spaces
    except ImportError:
        raise ValueError("environments need the package gymnasium: pip install 'nounroll[control]'") from None
    return tuple(getattr(spaces, name) for name in names)


def _inside(theirs: Any) -> list[tuple[Any, Any]]:
    """Return (key, space) of each part of a Tuple or a Dict."""
    return list(enumerate(theirs.spaces)) if isinstance(theirs, _kinds("Tuple")) else list(theirs.spaces.items())


def _parts(name: str, theirs: Any, path: str = "") -> Iterator[tuple[str, Space]]:
    """Yield (name, space) of each part that has no parts itself."""
    if not isinstance(theirs, _kinds(*KINDS)):
        what = type(theirs).__name__
        raise ValueError(f"{name} is {what}, which is not supported; it must be made of {', '.join(KINDS)}")
    if isinstance(theirs, _kinds("Tuple", "Dict")):
        for key, part in _inside(theirs):
            yield from _parts(name, part, f"{path}/{key}" if path else f"{key}")
    elif isinstance(theirs, _kinds("Discrete")):
        yield path or "0", Categorical(int(theirs.n))
    elif isinstance(theirs, _kinds("MultiDiscrete")):
        for i, n in enumerate(theirs.nvec.reshape(-1).tolist()):
            yield f"{path}/{i}" if path else f"{i}", Categorical(n)
    else:
        size = int(np.prod(theirs.shape))
        yield path or "0", Bits(size) if isinstance(theirs, _kinds("MultiBinary")) else Real(size)


def _written(theirs: Any, flat: np.ndarray) -> tuple[Any, np.ndarray]:
    """Convert the first columns to elements of a space, and return the remaining columns."""
    if isinstance(theirs, _kinds("Tuple", "Dict")):
        parts: dict[Any, Any] = {}
        for key, part in _inside(theirs):
            parts[key], flat = _written(part, flat)
        return (parts if isinstance(theirs, _kinds("Dict")) else tuple(parts.values())), flat
    size = int(np.prod(theirs.shape))
    own, rest = flat[:, :size].reshape(-1, *theirs.shape), flat[:, size:]
    if isinstance(theirs, _kinds("Box")):
        own = np.clip(own if theirs.dtype.kind == "f" else own.round(), theirs.low, theirs.high)
    elif not isinstance(theirs, _kinds("MultiBinary")):
        own = own.astype(theirs.dtype) + theirs.start
    return own.astype(theirs.dtype), rest
