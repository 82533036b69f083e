"""What the contenders of a measurement have in common: a budget, and the best of several learning rates."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from suite_tasks.problem import Predict, Problem

Unit = Literal["seconds", "tokens"]
UNITS: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True)
class Budget:
    """How much a run may take.

    Attributes:
        unit: seconds of CPU time, evaluations included; or tokens, the time steps of all rows that it is trained on,
            padding included.
        amount: of it.

    Raises:
        ValueError: it is not above 0, or no whole number of tokens.
    """

    unit: Unit
    amount: float

    def __post_init__(self) -> None:
        if not 0 < self.amount < math.inf:
            raise ValueError(f"{self.unit} is {self.amount:g}; it must be more than 0")
        if self.unit == "tokens" and self.amount != int(self.amount):
            raise ValueError(f"tokens is {self.amount:g}; it must be a whole number")

    def __str__(self) -> str:
        return f"{self.amount:,.12g} {'CPU seconds' if self.unit == 'seconds' else 'tokens'}"

    @property
    def folder(self) -> str:
        """A name for the folder of its answers."""
        return f"{self.amount:.12g}-{self.unit}"

    @property
    def words(self) -> tuple[str, list[str]]:
        """Its argument of ``suite_run.py``, and the options that go with it."""
        return f"{self.amount:.12g}", ["--unit", self.unit] if self.unit != "seconds" else []

    @property
    def named(self) -> dict[str, Any]:
        """The amount by its unit, as ``nounroll.fit`` and an answer have it."""
        return {self.unit: int(self.amount) if self.unit == "tokens" else self.amount}

    def share(self, seconds: float, tokens: int) -> float:
        """How much of it is spent, from 0 to 1."""
        return (seconds if self.unit == "seconds" else tokens) / self.amount


@dataclass
class Result:
    """A trained network, the best of its run on the validation part.

    Attributes:
        predict: the network.
        rate: its learning rate.
        validation: the figure to choose by, on the validation part.
        loss: on sequences that are not of the test part.
        steps, tokens, seconds: what the whole run took: steps of the optimiser, tokens, CPU time.
        tried: learning rate -> (validation, loss, steps) of every run that this one was chosen from.
    """

    predict: Predict
    rate: float
    validation: float
    loss: float
    steps: int
    tokens: int
    seconds: float
    tried: dict[str, tuple[float, float, int]] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """What an answer says of it."""
        spent = {"tokens": self.tokens, "seconds": round(self.seconds, 2)}
        return {"steps": self.steps, "spent": spent, "rate": self.rate, "tried": self.tried}


def best_of(problem: Problem, train: Callable[[float], Result], rates: tuple[float, ...]) -> Result:
    """Train once with every rate, each with the whole budget, and keep what is best on the validation part."""
    results = [train(rate) for rate in rates]
    best = max(results, key=lambda result: rank(problem, result.validation, result.loss))
    best.tried = {f"{result.rate:g}": (result.validation, result.loss, result.steps) for result in results}
    return best


def rank(problem: Problem, value: float, loss: float) -> tuple[float, float]:
    """Larger is better: the measure, and the loss where that is level. What is no number comes last."""
    signed = value if (problem.choice or problem.measure).better == "higher" else -value
    return (signed if math.isfinite(signed) else -math.inf, -loss if math.isfinite(loss) else -math.inf)
