"""Space of vectors of real numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from nounroll.core.spaces.base import Space
from nounroll.core.spaces.likelihoods.quantiles import Quantiles
from nounroll.core.spaces.registry import register_space
from nounroll.core.spaces.sampling import Sampling
from nounroll.core.spaces.standard import moments_of
from nounroll.core.spaces.vectors import Vectors


@register_space("real")
@dataclass(frozen=True, repr=False)
class Real(Vectors):
    """Vectors of ``d`` real numbers of any unit, held as float32 arrays of shape (B, T, d).

    Args:
        d: number of coordinates.
        shift, scale: standardisation of each coordinate. Networks compute with (x - shift) / scale; their inputs and
            outputs are in the unit of the data. None means 0 and 1 until both are measured, before training
            (``nounroll.data.scale``). Spaces with the same ``d`` and likelihood are equal, for any shift and scale.
        weighted: train the means of Gaussians by their squared error, and only their spread by the likelihood
            (``by_error``).
        likelihood: likelihood of targets: "gaussian", with a learnt scale per coordinate; "student_t", for data with
            outliers; "mixture", of five Gaussians, with dependent coordinates; "quantiles", nine per coordinate.
    """

    d: int
    shift: Sequence[float] | None = field(default=None, compare=False)
    scale: Sequence[float] | None = field(default=None, compare=False)
    likelihood: str = "gaussian"
    weighted: bool = field(default=False, compare=False)

    affine: ClassVar[bool] = True
    likelihoods: ClassVar[tuple[str, ...]] = ("gaussian", "student_t", "mixture", "quantiles")
    allowed: ClassVar[str] = "Real arrays must be finite"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.weighted, bool):
            raise ValueError(f"Real.weighted is {self.weighted!r}; it must be True or False")

    @property
    def has_spread(self) -> bool:
        return self.likelihood == "gaussian"

    def convert(self, values: Tensor) -> Tensor:
        return values.float() if values.is_floating_point() else values

    def invalid(self, values: Shaped[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
        return ~torch.isfinite(values)

    def holds(self, other: Space) -> bool:
        return other.event_shape == (self.d,)

    def enter(self, values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        return self.standardise(values)

    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        return self._likelihood.log_prob(outputs.float(), values)

    def loss(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        if not self.weighted:
            return -self.log_prob(outputs, values)
        return self._likelihood.loss(outputs.float(), values, self)

    def by_error(self) -> "Real":
        return replace(self, weighted=True)

    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B k"], sampling: Sampling
    ) -> Float[Tensor, "B d"]:
        return self._likelihood.choose(outputs, noise.to(outputs), sampling.temperature, self.d)

    def mean(self, outputs: Float[Tensor, "*n V"]) -> Float[Tensor, "*n d"]:
        return self._likelihood.mean(outputs, self.d)

    def quantiles(self, outputs: Float[Tensor, "*n V"]) -> Float[Tensor, "*n d levels"]:
        """Return the quantiles of each coordinate at ``nounroll.core.spaces.likelihoods.quantiles.LEVELS``.

        Raises:
            ValueError: the space has another likelihood.
        """
        if self.likelihood != "quantiles":
            raise ValueError(f"Real.likelihood is {self.likelihood!r}; only 'quantiles' has quantiles, draw samples")
        return Quantiles().quantiles(outputs)

    def example(self, *shape: int, generator: torch.Generator) -> Float[Tensor, "... d"]:
        return self.place(torch.randn(*shape, self.d, generator=generator))

    def measured(self, name: str, values: Float[Tensor, "N d"], *, targets: bool) -> "Real":
        if targets:
            refuse_bits(name, values)
        found = moments_of(name, values) if self.scale is None else None
        return self if found is None else replace(self, shift=found[0], scale=found[1])

    def errors(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> dict[str, Tensor]:
        errors = self.mean(outputs) - values
        found = {"hits": -errors.square().sum(-1)}
        if self.scale is not None:
            found["relative"] = (errors / self.moments(values)[1]).square()
        return found

    def metrics(self, sums: Mapping[str, float], scored: float, loss: float) -> dict[str, float]:
        metrics = {"rmse": math.sqrt(max(-sums["hits"], 0.0) / scored / self.d)}
        if self.scale is not None:
            metrics["rmse_standardised"] = math.sqrt(sums["relative"] / scored / self.d)
            metrics["loss_standardised"] = loss - self.volume()
        return metrics

    def guess(self, values: Float[Tensor, "N d"]) -> dict[str, float]:
        """Measure a Gaussian with the mean and the variances of the values, for every likelihood."""
        deviations = values.double().std(dim=0, correction=0)
        smallest = 1e-7 * values.double().abs().amax(0).clamp(min=1e-18)  # distinguishes a constant from 0
        loss = float((deviations.maximum(smallest).log() + 0.5 * math.log(2 * math.pi * math.e)).sum())
        found = {"loss": loss, "bits": loss / math.log(2), "rmse": float(deviations.square().mean().sqrt())}
        if self.scale is not None:
            found["rmse_standardised"] = float((deviations / self.moments(deviations)[1]).square().mean().sqrt())
        return found

    def to_json(self) -> dict[str, Any]:
        found = super().to_json()
        if self.likelihood == "gaussian":  # files of version 0.1 have no likelihood
            del found["likelihood"]
        if self.weighted:
            found["weighted"] = True
        return found


def refuse_bits(name: str, values: Float[Tensor, "N d"]) -> None:
    """Refuse targets that are only 0 and 1: a density would fit them ever more narrowly without learning more.

    Values whose columns are all constant are accepted.

    Raises:
        ValueError: the targets are only 0 and 1.
    """
    if not len(values) or not bool(((values == 0) | (values == 1)).all()):
        return
    if bool((values.amax(0) != values.amin(0)).any()):
        d = values.shape[-1]
        raise ValueError(
            f"{name} are 0 and 1 alone, and Real({d}) would predict them by a density; take nounroll.Bits({d}) as the"
            " space of a task of your own, or whole numbers and Categorical(2) for one symbol a step"
        )
