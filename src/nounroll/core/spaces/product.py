"""Product of spaces: an event with its type, gap and value; a row of a mixed table; four voices."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from nounroll.core.spaces.base import Space
from nounroll.core.spaces.registry import register_space, space_from_json, space_to_json
from nounroll.core.spaces.sampling import Sampling

_WHOLE = 2.0**24  # first integer from which single precision does not separate all symbols


@register_space("product")
@dataclass(frozen=True, init=False, repr=False)
class Product(Space):
    """Elements with one part in each of several spaces, held as one float32 array of shape (B, T, columns).

    Parts are adjacent columns, in the order of the arguments: a symbol is one column that holds its number, a vector
    has one column for each of its numbers. ``join`` makes such an array from one array per part; ``split`` reverses it.

    ::

        Product(kind=Categorical(3), gap=Positive(1), value=Real(2))     kind  gap  value.0  value.1
                                                                          2.0  0.31   1.02    -0.4

    Args:
        chained: predict each part also from the parts before it; otherwise parts are independent given the past. The
            readout then has a coefficient for each pair of a part's parameter and a number of the parts before it (a
            one-hot vector for a symbol), so it grows with the product of both.
        parts: one space per name.
    """

    parts: tuple[tuple[str, Space], ...]
    chained: bool = False

    def __init__(self, *, chained: bool = False, **parts: Space) -> None:
        if not parts:
            raise ValueError("Product has no parts; name at least one, such as Product(gap=nounroll.Positive(1))")
        for name, space in parts.items():
            if not isinstance(space, Space):
                raise ValueError(f"Product.{name} is a {type(space).__name__}; it must be a space, such as Real(1)")
            if space.symbols is not None and space.symbols > _WHOLE:
                raise ValueError(f"Product.{name} is {space}; a part has at most {_WHOLE:,.0f} symbols")
            if getattr(space, "weights", ()):
                raise ValueError(
                    f"Product.{name} is {space} with weights; only a Categorical outside a Product has weights"
                )
        object.__setattr__(self, "parts", tuple(parts.items()))
        object.__setattr__(self, "chained", bool(chained))

    def __repr__(self) -> str:
        chained = ", chained=True" if self.chained else ""
        return f"Product({', '.join(f'{name}={space}' for name, space in self.parts)}{chained})"

    # -- elements -----------------------------------------------------------------------------------

    @property
    def spaces(self) -> list[Space]:
        return [space for _, space in self.parts]

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (sum(self._widths),)

    @property
    def _widths(self) -> list[int]:
        return [math.prod(space.event_shape) for space in self.spaces]

    @property
    def discrete(self) -> bool:  # type: ignore[override]  # of a class elsewhere
        return all(space.discrete for space in self.spaces)

    @property
    def columns(self) -> list[str]:
        names = [(name, space.columns) for name, space in self.parts]
        return [f"{name}.{one}" if len(own) > 1 else name for name, own in names for one in own]

    def split(self, values: Shaped[Tensor, "*n columns"]) -> dict[str, Tensor]:
        """Split an array into one array per part: (*n,) symbols, (*n, d) numbers."""
        blocks = values.split(self._widths, dim=-1)
        return {
            name: block.reshape((*block.shape[:-1], *space.event_shape)).to(space.dtype)
            if space.dtype != torch.float32 or len(space.event_shape) != 1
            else block
            for (name, space), block in zip(self.parts, blocks, strict=True)
        }

    def join(self, **arrays: Any) -> Float[Tensor, "*n columns"]:
        """Join the arrays of all parts, tensors or NumPy arrays, into one.

        Raises:
            ValueError: a part is missing, unknown or has another shape.
        """
        names = [name for name, _ in self.parts]
        if set(arrays) != set(names):
            raise ValueError(f"join got {', '.join(arrays) or 'nothing'}; the parts are {', '.join(names)}")
        tensors = [torch.as_tensor(arrays[name]) for name in names]
        first = self.spaces[0]
        leading = tuple(tensors[0].shape[: tensors[0].dim() - len(first.event_shape)])
        for (name, space), values in zip(self.parts, tensors, strict=True):
            if tuple(values.shape) != (*leading, *space.event_shape):
                wanted = (*leading, *space.event_shape)
                raise ValueError(f"{name} has shape {tuple(values.shape)}; {space} needs {wanted} beside {names[0]}")
        return self._join(iter(tensors))

    def zeros(self, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        return self._join(space.zeros(*shape, device=device) for space in self.spaces)

    def _join(self, arrays: Iterator[Tensor]) -> Float[Tensor, "*n columns"]:
        pairs = zip(arrays, self.spaces, self._widths, strict=True)
        found = [one.reshape(*one.shape[: one.dim() - len(s.event_shape)], width) for one, s, width in pairs]
        return torch.cat([one.to(torch.promote_types(one.dtype, torch.float32)) for one in found], dim=-1)

    def invalid(self, values: Shaped[Tensor, "*n columns"]) -> Bool[Tensor, "*n columns"]:
        bad = []
        for space, block in zip(self.spaces, values.split(self._widths, dim=-1), strict=True):
            whole = block.round() if not space.dtype.is_floating_point else block
            own = whole.nan_to_num(-1.0, -1.0, -1.0).reshape((*block.shape[:-1], *space.event_shape)).to(space.dtype)
            given = block.reshape(own.shape) if space.dtype.is_floating_point else own
            bad.append(space.invalid(given).reshape(block.shape) | (whole != block))
        return torch.cat(bad, dim=-1)

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError, naming the part, unless all values are in this space."""
        if not values.dtype.is_floating_point:
            raise ValueError(f"{name} has dtype {values.dtype}; a Product array must be floating point")
        bad = self.invalid(values)
        if bad.any():
            where = tuple(int(i) for i in torch.nonzero(bad)[0])
            part = next(i for i, end in enumerate(accumulate(self._widths)) if where[-1] < end)
            raise ValueError(
                f"{name} holds {float(values[where]):g} at index {where}, the column {self.columns[where[-1]]!r};"
                f" that part is {self.parts[part][1]}"
            )

    def holds(self, other: Space) -> bool:
        """Return whether both have parts of the same names in the same order, and each part holds the other's."""
        theirs = dict(getattr(other, "parts", ()))
        return list(theirs) == [name for name, _ in self.parts] and all(s.holds(theirs[n]) for n, s in self.parts)

    # -- input to a network --------------------------------------------------------------------------

    @property
    def entered_size(self) -> int:
        return sum(space.entered_size for space in self.spaces)

    def enter(self, values: Float[Tensor, "*n columns"]) -> Float[Tensor, "*n k"]:
        """Turn symbols into one-hot vectors, and concatenate them with the other parts' inputs."""
        return torch.cat([_numbers(s, v) for s, v in zip(self.spaces, self.split(values).values(), strict=True)], -1)

    @property
    def detail(self) -> float:
        return sum(space.detail for space in self.spaces)

    # -- prediction ----------------------------------------------------------------------------------

    @property
    def _before(self) -> list[int]:
        """Numbers of the preceding parts that each part is predicted from."""
        sizes = [0, *accumulate(space.entered_size for space in self.spaces)][:-1]
        return sizes if self.chained else [0] * len(sizes)

    @property
    def _readouts(self) -> list[int]:
        return [space.readout_size * (1 + n) for space, n in zip(self.spaces, self._before, strict=True)]

    @property
    def readout_size(self) -> int:
        """V: the parameters of each part, and its dependence on the parts before it."""
        return sum(self._readouts)

    def parameters(self, raw: Float[Tensor, "*n V"]) -> Float[Tensor, "*n V"]:
        """Return the parameters of each part; for chained parts only the first's are final, the others need values."""
        blocks = raw.to(torch.promote_types(raw.dtype, torch.float32)).split(self._readouts, dim=-1)
        return torch.cat(
            [b if n else s.parameters(b) for s, b, n in zip(self.spaces, blocks, self._before, strict=True)], dim=-1
        )

    def _told(self, outputs: Float[Tensor, "*n V"], part: int, numbers: Sequence[Tensor]) -> Float[Tensor, "*n v"]:
        """Return the parameters of a part, given the numbers of the parts before it."""
        block, size = outputs.split(self._readouts, dim=-1)[part], self.spaces[part].readout_size
        if not self._before[part]:
            return block
        base, slopes = block[..., :size], block[..., size:].unflatten(-1, (size, self._before[part]))
        known = torch.cat(list(numbers), dim=-1).to(slopes) * self._before[part] ** -0.5
        return self.spaces[part].parameters(base + (slopes @ known[..., None])[..., 0])

    def _each(
        self, outputs: Float[Tensor, "*n V"], values: Shaped[Tensor, "*n columns"]
    ) -> Iterator[tuple[str, Space, Tensor, Tensor]]:
        """Iterate over name, space, parameters and values of each part, given the true parts before it."""
        numbers: list[Tensor] = []
        for i, ((name, space), own) in enumerate(zip(self.parts, self.split(values).values(), strict=True)):
            yield name, space, self._told(outputs, i, numbers), own
            if self.chained:
                numbers.append(_numbers(space, own))

    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n columns"]) -> Float[Tensor, "*n"]:
        return torch.stack([space.log_prob(told, own) for _, space, told, own in self._each(outputs, values)]).sum(0)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (sum(math.prod(space.noise_shape) for space in self.spaces),)

    def noise(self, rows: int, generator: torch.Generator | None) -> Float[Tensor, "B k"]:
        return torch.cat([space.noise(rows, generator).reshape(rows, -1) for space in self.spaces], dim=-1)

    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B k"], sampling: Sampling
    ) -> Float[Tensor, "B columns"]:
        sizes = [math.prod(space.noise_shape) for space in self.spaces]
        noises, drawn, numbers = noise.split(sizes, dim=-1), list[Tensor](), list[Tensor]()
        for i, (space, own) in enumerate(zip(self.spaces, noises, strict=True)):
            value = space.choose(self._told(outputs, i, numbers), own.reshape((-1, *space.noise_shape)), sampling)
            good = space.drawn(value)
            drawn.append(torch.where(good, value, torch.nan))
            if self.chained:
                instead = space.zeros(len(value), device=value.device)
                numbers.append(_numbers(space, torch.where(good, value, instead)))
        return self._join(iter(drawn))

    def mean(self, outputs: Float[Tensor, "*n V"]) -> Float[Tensor, "*n columns"]:
        """Return the mean of each part; a chained part is given the means of the parts before it."""
        found, numbers = list[Tensor](), list[Tensor]()
        for i, space in enumerate(self.spaces):
            found.append(space.mean(self._told(outputs, i, numbers)))
            if self.chained:
                numbers.append(_numbers(space, found[-1]))
        return self._join(iter(found))

    def example(self, *shape: int, generator: torch.Generator) -> Float[Tensor, "... columns"]:
        return self._join(space.example(*shape, generator=generator) for space in self.spaces)

    def relative(self, outputs: Float[Tensor, "*n V"]) -> Float[Tensor, "*n V"]:
        blocks = outputs.split(self._readouts, dim=-1)
        return torch.cat(
            [b if n else s.relative(b) for s, b, n in zip(self.spaces, blocks, self._before, strict=True)], dim=-1
        )

    # -- measurement ---------------------------------------------------------------------------------

    @property
    def unmeasured(self) -> bool:
        return any(space.unmeasured for space in self.spaces)

    def measured(self, name: str, values: Float[Tensor, "N columns"], *, targets: bool) -> "Product":
        found = {
            part: space.measured(f"{name}, part {part!r}", own, targets=targets)
            for (part, space), own in zip(self.parts, self.split(values).values(), strict=True)
        }
        return Product(chained=self.chained, **found)

    def hits(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n columns"]) -> Float[Tensor, "*n"]:
        """Return the mean of the parts' hits."""
        return torch.stack([space.hits(told, own) for _, space, told, own in self._each(outputs, values)]).mean(0)

    def errors(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n columns"]) -> dict[str, Tensor]:
        found = {}
        for name, space, told, own in self._each(outputs, values):
            found[f"{name}.loss"] = -space.log_prob(told, own)
            found |= {f"{name}.{error}": value for error, value in space.errors(told, own).items()}
        return found

    def metrics(self, sums: Mapping[str, float], scored: float, loss: float) -> dict[str, float]:
        """Return the loss and the metrics of each part: "gap.loss", "gap.rmse"."""
        found = {}
        for name, space in self.parts:
            own = {error.removeprefix(f"{name}."): v for error, v in sums.items() if error.startswith(f"{name}.")}
            found[f"{name}.loss"] = own["loss"] / scored
            found |= {f"{name}.{m}": v for m, v in space.metrics(own, scored, own["loss"] / scored).items()}
        return found

    def guess(self, values: Float[Tensor, "N columns"]) -> dict[str, float]:
        """Measure the best constant guess of each part, as if they were independent."""
        each = zip(self.parts, self.split(values).values(), strict=True)
        found = {f"{name}.{m}": v for (name, space), own in each for m, v in space.guess(own).items()}
        loss = sum(found[f"{name}.loss"] for name, _ in self.parts)
        named = {name: value for name, value in found.items() if not name.endswith(".bits")}
        return {"loss": loss, "bits": loss / math.log(2), **named}

    def knowable(self, values: Float[Tensor, "N columns"]) -> float:
        return sum(s.knowable(own) for s, own in zip(self.spaces, self.split(values).values(), strict=True))

    # -- files --------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        parts = [[name, space_to_json(space)] for name, space in self.parts]
        return {"parts": parts, **({"chained": True} if self.chained else {})}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Product":
        parts = {str(name): space_from_json(one) for name, one in document["parts"]}
        return cls(chained=bool(document.get("chained", False)), **parts)


def _numbers(space: Space, values: Tensor) -> Float[Tensor, "*n k"]:
    """Convert the values of a part to numbers."""
    if space.symbols is None:
        return space.enter(values)
    return (values[..., None] == torch.arange(space.symbols, device=values.device)).float() * space.symbols**0.5
