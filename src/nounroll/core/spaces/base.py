"""Spaces: the elements of a sequence, how a network reads them, and how it predicts the next one.

A space of your own is a class in one file: a frozen dataclass that extends ``Space`` and is named by
``nounroll.register_space``. Five methods and two properties are required; docs/spaces.md has an example.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from nounroll.core.spaces.sampling import Sampling

_FITTED = 1024  # elements that the constant guess is fitted to
_STEPS, _RATE = 150, 0.1  # of that fit


class Space(ABC):
    """The elements of a sequence, and a family of distributions over them.

    Arrays of a space have the shape (B, T, *event_shape). ``outputs`` are what a readout gives for each element: the
    ``readout_size`` parameters of a distribution in the unit of the data. ``*n`` stands for any leading axes.

    Attributes:
        kind: the name in files; ``register_space`` sets it.
        dtype: of arrays.
        discrete: elements can be counted: the probabilities sum to one. Otherwise ``log_prob`` is of a density.
        affine: elements that are moved and stretched a little are elements still.
        allowed: what errors say of the elements.
    """

    kind: ClassVar[str] = ""
    dtype: ClassVar[torch.dtype] = torch.float32
    discrete: ClassVar[bool] = False
    affine: ClassVar[bool] = False
    allowed: ClassVar[str] = "its arrays must be of the space"

    # -- what must be written -----------------------------------------------------------------------

    @property
    @abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """Axes of one element."""

    @property
    @abstractmethod
    def readout_size(self) -> int:
        """V: numbers of a readout, the parameters of a distribution."""

    @abstractmethod
    def invalid(self, values: Shaped[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
        """Find the numbers of an array that are not of the space."""

    @abstractmethod
    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Shaped[Tensor, "..."]) -> Float[Tensor, "*n"]:
        """log p(y) in nats of each element; of a density, in the unit of the data."""

    @abstractmethod
    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B ..."], sampling: Sampling
    ) -> Shaped[Tensor, "B *y"]:
        """The element that the random numbers of ``noise`` stand for. Outputs that are not finite give none that
        ``drawn`` accepts."""

    @abstractmethod
    def mean(self, outputs: Float[Tensor, "*n V"]) -> Shaped[Tensor, "..."]:
        """The mean of each distribution; the most likely symbol where elements are symbols."""

    # -- elements -----------------------------------------------------------------------------------

    @property
    def symbols(self) -> int | None:
        """n where every element is one symbol of 0 .. n - 1; None otherwise."""
        return None

    @property
    def columns(self) -> list[str]:
        """Names of the numbers of one element."""
        return [str(i) for i in range(math.prod(self.event_shape))]

    def zeros(self, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        """An array of this space, (*shape, *event_shape), all 0; all 1 where 0 is not of the space."""
        return torch.zeros(*shape, *self.event_shape, dtype=self.dtype, device=device)

    def convert(self, values: Tensor) -> Tensor:
        """Convert values of another precision; values of another kind are left for ``check`` to refuse."""
        return values if values.is_complex() else values.to(self.dtype)

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError, naming a value and where it is, unless all are of this space."""
        if not values.dtype.is_floating_point:
            raise ValueError(f"{name} has dtype {values.dtype}; a {type(self).__name__} array must be floating point")
        bad = self.invalid(values)
        if bad.any():
            where = tuple(int(i) for i in torch.nonzero(bad)[0])
            raise ValueError(f"{name} holds {float(values[where]):g} at index {where}; {self.allowed}")

    def holds(self, other: "Space") -> bool:
        """Return whether every element of another space is in this space, so that drawn elements can be read."""
        return self == other

    def parse(self, words: Sequence[str]) -> Tensor:
        """Elements typed by a person, number after number.

        Raises:
            ValueError, RuntimeError: they are no numbers, or not as many as elements need.
        """
        return torch.tensor([float(word) for word in words]).reshape(-1, *self.event_shape)

    # -- how a network reads them -------------------------------------------------------------------

    @property
    def entered_size(self) -> int:
        """Count of the numbers that ``enter`` makes of an element."""
        return math.prod(self.event_shape)

    def enter(self, values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Turn elements into a network's inputs: vectors of about unit size, (*n, entered_size), or symbols."""
        return values

    def embed(self, width: int, scale: float) -> nn.Module:
        """Build a map from the result of ``enter`` to vectors; ``scale`` is the initial size of a learnt table."""
        return nn.Linear(self.entered_size, width)

    @property
    def detail(self) -> float:
        """The width that an embedding of an element needs; a wider one is wasted."""
        return 2 * self.entered_size

    # -- how it says which comes next ---------------------------------------------------------------

    def parameters(self, raw: Float[Tensor, "*n V"]) -> Float[Tensor, "*n V"]:
        """Outputs from the numbers of a linear map, any real ones of about unit size."""
        return raw

    def scaled_as(self, other: "Space") -> "Space":
        """Return this space in the units of an equal one. How much targets count stays this space's own."""
        return other

    def counted(self, losses: Float[Tensor, "*n"], values: Shaped[Tensor, "..."]) -> Float[Tensor, "*n"]:
        """Losses of training as much as each of these targets counts: as they are, unless the space has weights."""
        return losses

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Axes of the random numbers of one draw."""
        return self.event_shape

    def noise(self, rows: int, generator: torch.Generator | None) -> Float[Tensor, "B ..."]:
        """The random numbers of one draw of each row: uniform ones, unless the space says otherwise."""
        return torch.rand(rows, *self.noise_shape, generator=generator)

    def drawn(self, values: Shaped[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
        """Return whether values of ``choose`` come from finite outputs."""
        return values.isfinite()

    def sample(self, outputs: Float[Tensor, "B V"], generator: torch.Generator | None = None) -> Tensor:
        """One element of each row's distribution.

        Raises:
            ValueError: the outputs are not finite.
        """
        return Sampling().draw(self, outputs, generator)

    def example(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Random elements, (*shape, *event_shape), with which a network can be tried."""
        rows = math.prod(shape)
        outputs = self.parameters(torch.randn(rows, self.readout_size, generator=generator))
        return self.choose(outputs, self.noise(rows, generator), Sampling()).view(*shape, *self.event_shape)

    def relative(self, outputs: Float[Tensor, "*n V"]) -> Float[Tensor, "*n V"]:
        """Outputs without unit: rounding grows with the numbers, and differences are judged in these."""
        return outputs

    # -- what is measured ---------------------------------------------------------------------------

    @property
    def unmeasured(self) -> bool:
        """Return whether ``measured`` has something to find."""
        return False

    def measured(self, name: str, values: Shaped[Tensor, "N ..."], *, targets: bool) -> "Space":
        """The space with the scale of these training values, where it has none yet.

        Args:
            name: what errors call the values.
            values: elements.
            targets: the network is to predict them.

        Raises:
            ValueError: another space is needed for such values.
        """
        return self

    def hits(self, outputs: Float[Tensor, "*n V"], values: Shaped[Tensor, "..."]) -> Float[Tensor, "*n"]:
        """Score each answer: the share of it that is right, or the negative squared error of the mean."""
        return -(self.mean(outputs) - values).square().flatten(outputs.dim() - 1).sum(-1)

    def errors(self, outputs: Float[Tensor, "*n V"], values: Shaped[Tensor, "..."]) -> dict[str, Float[Tensor, "*n"]]:
        """Figures of each element whose sums ``metrics`` takes."""
        return {"hits": self.hits(outputs, values)}

    def metrics(self, sums: Mapping[str, float], scored: float, loss: float) -> dict[str, float]:
        """Figures by name, from the sums of ``errors`` over so many scored elements and their mean loss."""
        return {"rmse": math.sqrt(max(-sums["hits"], 0.0) / scored / math.prod(self.event_shape))}

    def guess(self, values: Shaped[Tensor, "N ..."]) -> dict[str, float]:
        """Loss, bits and ``metrics`` of the best constant outputs for these elements, at least one.

        They are fitted to about 1024 of them by gradient descent; a space that knows its optimum says it.
        """
        some = values[:: max(1, len(values) // _FITTED)]
        raw = torch.zeros(self.readout_size, device=values.device, requires_grad=True)
        optimiser = torch.optim.Adam([raw], _RATE)
        with torch.enable_grad():
            for _ in range(_STEPS):
                loss = -self.log_prob(self.parameters(raw.expand(len(some), -1)), some).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        outputs = self.parameters(raw.detach().expand(len(values), -1))
        loss = -float(self.log_prob(outputs, values).double().mean())
        sums = {name: float(one.double().sum()) for name, one in self.errors(outputs, values).items()}
        return {"loss": loss, "bits": loss / math.log(2), **self.metrics(sums, len(values), loss)}

    def knowable(self, values: Shaped[Tensor, "N ..."]) -> float:
        """Nats per element that there are to know.

        The loss of the best constant guess where elements can be counted. Densities have no natural zero: one nat a
        coordinate, which an error e times smaller than the guess's is worth.
        """
        if self.discrete:
            return max(self.guess(values)["loss"] if len(values) else 0.0, 1e-3)
        return float(math.prod(self.event_shape))

    # -- files --------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return the arguments of the constructor, for ``from_json``; of a dataclass its fields."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Space":
        """The space that ``to_json`` described; the document may come from anywhere."""
        return cls(**document)
