"""Interface of spaces: the elements of a sequence, how a network reads them, and how it predicts the next one.

A custom space is a class in one file: a frozen dataclass that extends ``Space`` and is named by
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

_FITTED = 1024  # elements on which the constant guess is fitted
_STEPS, _RATE = 150, 0.1  # settings of that fit


class Space(ABC):
    """A set of sequence elements, and a family of distributions over it.

    Arrays of a space have the shape (B, T, *event_shape). ``outputs`` are a readout's result for each element: the
    ``readout_size`` parameters of a distribution in the unit of the data. ``*n`` stands for any leading axes.

    Attributes:
        kind: name in files; ``register_space`` sets it.
        dtype: dtype of arrays.
        discrete: the set is countable and probabilities sum to one. Otherwise ``log_prob`` is a log density.
        affine: slightly shifted and scaled elements are still in the space.
        allowed: description of the elements for error messages.
    """

    kind: ClassVar[str] = ""
    dtype: ClassVar[torch.dtype] = torch.float32
    discrete: ClassVar[bool] = False
    affine: ClassVar[bool] = False
    allowed: ClassVar[str] = "its arrays must be of the space"

    # -- required methods ----------------------------------------------------------------------------

    @property
    @abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """Axes of one element."""

    @property
    @abstractmethod
    def readout_size(self) -> int:
        """V: size of a readout, the number of parameters of a distribution."""

    @abstractmethod
    def invalid(self, values: Shaped[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
        """Find the numbers of an array that are not in the space."""

    @abstractmethod
    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Shaped[Tensor, "..."]) -> Float[Tensor, "*n"]:
        """Return log p(y) in nats for each element; for a density, in the unit of the data."""

    @abstractmethod
    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B ..."], sampling: Sampling
    ) -> Shaped[Tensor, "B *y"]:
        """Map the random numbers of ``noise`` to an element. Outputs that are not finite give an element that
        ``drawn`` rejects."""

    @abstractmethod
    def mean(self, outputs: Float[Tensor, "*n V"]) -> Shaped[Tensor, "..."]:
        """Return the mean of each distribution; for symbols, the most likely symbol."""

    # -- elements -----------------------------------------------------------------------------------

    @property
    def symbols(self) -> int | None:
        """n if every element is one symbol of 0 .. n - 1; None otherwise."""
        return None

    @property
    def columns(self) -> list[str]:
        """Names of the columns of one element."""
        return [str(i) for i in range(math.prod(self.event_shape))]

    def zeros(self, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        """Return an array of this space, (*shape, *event_shape), of zeros; of ones if 0 is not in the space."""
        return torch.zeros(*shape, *self.event_shape, dtype=self.dtype, device=device)

    def convert(self, values: Tensor) -> Tensor:
        """Convert values of another precision; values of another kind stay unchanged, and ``check`` rejects them."""
        return values if values.is_complex() else values.to(self.dtype)

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError, naming a value and its position, unless all values are in this space."""
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
        """Parse elements typed by a user, one number after the other.

        Raises:
            ValueError, RuntimeError: a word is not a number, or the count of numbers does not fit the elements.
        """
        return torch.tensor([float(word) for word in words]).reshape(-1, *self.event_shape)

    # -- input to a network --------------------------------------------------------------------------

    @property
    def entered_size(self) -> int:
        """Number of values that ``enter`` makes of an element."""
        return math.prod(self.event_shape)

    def enter(self, values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Convert elements to a network's inputs: vectors of about unit size, (*n, entered_size), or symbols."""
        return values

    def embed(self, width: int, scale: float) -> nn.Module:
        """Build a map from the result of ``enter`` to vectors; ``scale`` is the initial size of a learnt table."""
        return nn.Linear(self.entered_size, width)

    @property
    def detail(self) -> float:
        """Width that an embedding of an element needs; a wider one is wasteful."""
        return 2 * self.entered_size

    # -- prediction ----------------------------------------------------------------------------------

    def parameters(self, raw: Float[Tensor, "*n V"]) -> Float[Tensor, "*n V"]:
        """Convert the numbers of a linear map, any reals of about unit size, to outputs."""
        return raw

    def by_error(self) -> "Space":
        """Return this space with a training loss for predictions that are judged by their error."""
        return self

    def scaled_as(self, other: "Space") -> "Space":
        """Return this space in the units of an equal one. It keeps its own weights of targets."""
        return other

    def loss(self, outputs: Float[Tensor, "*n V"], values: Shaped[Tensor, "..."]) -> Float[Tensor, "*n"]:
        """Compute the training loss of each element: -log p, whose gradient may be weighted (``by_error``)."""
        return -self.log_prob(outputs, values)

    def counted(self, losses: Float[Tensor, "*n"], values: Shaped[Tensor, "..."]) -> Float[Tensor, "*n"]:
        """Weight the training losses by the importance of their targets; unchanged if the space has no weights."""
        return losses

    @property
    def has_spread(self) -> bool:
        """Return whether outputs are d means and d log standard deviations."""
        return False

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the random numbers of one draw."""
        return self.event_shape

    def noise(self, rows: int, generator: torch.Generator | None) -> Float[Tensor, "B ..."]:
        """Draw the random numbers for one element per row: uniform, unless the space says otherwise."""
        return torch.rand(rows, *self.noise_shape, generator=generator)

    def drawn(self, values: Shaped[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
        """Return whether values of ``choose`` come from finite outputs."""
        return values.isfinite()

    def sample(self, outputs: Float[Tensor, "B V"], generator: torch.Generator | None = None) -> Tensor:
        """Draw one element from each row's distribution.

        Raises:
            ValueError: the outputs are not finite.
        """
        return Sampling().draw(self, outputs, generator)

    def example(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Draw random elements, (*shape, *event_shape), for testing a network."""
        rows = math.prod(shape)
        outputs = self.parameters(torch.randn(rows, self.readout_size, generator=generator))
        return self.choose(outputs, self.noise(rows, generator), Sampling()).view(*shape, *self.event_shape)

    def relative(self, outputs: Float[Tensor, "*n V"]) -> Float[Tensor, "*n V"]:
        """Return outputs without their unit, for comparisons: rounding errors grow with the size of the numbers."""
        return outputs

    # -- measurement ---------------------------------------------------------------------------------

    @property
    def unmeasured(self) -> bool:
        """Return whether ``measured`` has a scale to measure."""
        return False

    def measured(self, name: str, values: Shaped[Tensor, "N ..."], *, targets: bool) -> "Space":
        """Return the space with the scale of these training values, unless it has a scale already.

        Args:
            name: name of the values in errors.
            values: elements.
            targets: the values are targets of the network.

        Raises:
            ValueError: such values need another space.
        """
        return self

    def hits(self, outputs: Float[Tensor, "*n V"], values: Shaped[Tensor, "..."]) -> Float[Tensor, "*n"]:
        """Score each answer: the share of it that is right, or the negative squared error of the mean."""
        return -(self.mean(outputs) - values).square().flatten(outputs.dim() - 1).sum(-1)

    def errors(self, outputs: Float[Tensor, "*n V"], values: Shaped[Tensor, "..."]) -> dict[str, Float[Tensor, "*n"]]:
        """Compute figures for each element; ``metrics`` takes their sums."""
        return {"hits": self.hits(outputs, values)}

    def metrics(self, sums: Mapping[str, float], scored: float, loss: float) -> dict[str, float]:
        """Compute metrics by name, from the sums of ``errors``, the number of scored elements and their mean loss."""
        return {"rmse": math.sqrt(max(-sums["hits"], 0.0) / scored / math.prod(self.event_shape))}

    def guess(self, values: Shaped[Tensor, "N ..."]) -> dict[str, float]:
        """Loss, bits and ``metrics`` of the best constant outputs for these elements, at least one.

        They are fitted to about 1024 elements by gradient descent; a space with a known optimum overrides this.
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
        """Nats per element that can be learnt.

        For countable elements this is the loss of the best constant guess. Densities have no natural zero: there it is
        one nat per coordinate, which is the gain from an error e times smaller than the guess's.
        """
        if self.discrete:
            return max(self.guess(values)["loss"] if len(values) else 0.0, 1e-3)
        return float(math.prod(self.event_shape))

    # -- files --------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return the arguments of the constructor, for ``from_json``; for a dataclass its fields."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Space":
        """Build the space that ``to_json`` described; the document may come from anywhere."""
        return cls(**document)
