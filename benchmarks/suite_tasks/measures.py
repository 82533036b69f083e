"""Measures of outputs against targets, and when two values count as level."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Verdict = Literal["ahead", "level", "behind"]


@dataclass(frozen=True)
class Measure:
    """A figure of the scored steps.

    Attributes:
        name: as tables show it.
        better: which values are good.
        of: ``of(outputs (N, ...), targets (N, ...))``.
        margin: a difference (where higher is better) or a ratio less 1 (where lower is) that is level.
    """

    name: str
    better: Literal["higher", "lower"]
    of: Callable[[Tensor, Tensor], float]
    margin: float

    def compare(self, value: float, other: float, floor: float = 0.0) -> Verdict:
        """How ``value`` stands to ``other``. Errors below ``floor`` are taken for the floor."""
        if self.better == "higher":
            return "ahead" if value > other + self.margin else "level" if value >= other - self.margin else "behind"
        value, other = max(value, floor), max(other, floor)
        if value > other * (1 + self.margin) or math.isnan(value):
            return "behind"
        return "ahead" if value * (1 + self.margin) < other else "level"

    def best(self, values: list[float]) -> float:
        """The best of some values."""
        return max(values) if self.better == "higher" else min(values)

    def worst(self, values: list[float]) -> float:
        """The worst of some values."""
        return min(values) if self.better == "higher" else max(values)


def _accuracy(outputs: Tensor, targets: Tensor) -> float:
    return float((outputs.argmax(-1) == targets).double().mean())


def _bits(outputs: Tensor, targets: Tensor) -> float:
    return float(F.cross_entropy(outputs.double(), targets)) / math.log(2)


def _squared_error(outputs: Tensor, targets: Tensor) -> float:
    return float((outputs.double() - targets).square().mean())


def _absolute_error(outputs: Tensor, targets: Tensor) -> float:
    return float((outputs.double() - targets).abs().mean())


def average_precision(outputs: Tensor, targets: Tensor) -> float:
    """The mean of the precision at every positive, from the most to the least certain; symbol 1 is positive."""
    certain = (outputs[:, 1] - outputs[:, 0]).double()
    order = certain.argsort(descending=True, stable=True)
    positive = (targets[order] == 1).double()
    precision = positive.cumsum(0) / torch.arange(1, len(positive) + 1, dtype=torch.float64)
    return float((precision * positive).sum() / positive.sum().clamp(min=1))


def _not_of_outputs(outputs: Tensor, targets: Tensor) -> float:
    raise NotImplementedError("a return is measured by acting")


ACCURACY = Measure("accuracy", "higher", _accuracy, 0.01)
AVERAGE_PRECISION = Measure("average precision", "higher", average_precision, 0.01)
BITS_PER_BYTE = Measure("bits per byte", "lower", _bits, 0.03)
BITS_PER_NOTE = Measure("bits per note", "lower", _bits, 0.03)
SQUARED_ERROR = Measure("mean squared error", "lower", _squared_error, 0.03)
MASE = Measure("MASE", "lower", _absolute_error, 0.03)
RETURN = Measure("return", "higher", _not_of_outputs, 5.0)
