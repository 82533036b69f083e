"""Settings of the training loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nounroll.core.ranges import at_least, more_than

BUDGETS = ("seconds", "steps", "tokens", "flops", "sequential_flops")
_WHOLE = ("steps", "tokens")


@dataclass(frozen=True)
class Budget:
    """Limit of what a run may spend: ``Budget("seconds", 300)``.

    Args:
        kind: one of ``BUDGETS``: wall-clock seconds, evaluations included; optimiser steps; time steps trained on, of
            all sequences together; FLOPs of losses and gradients (see ``nounroll.methods.cost``), or those on the
            longest chain of dependent operations.
        amount: of it; 0 only where a student is given, which then stays as it is.
    """

    kind: str
    amount: float

    def __post_init__(self) -> None:
        if self.amount != 0:
            more_than(f"training.{self.kind}", self.amount, 0)

    @classmethod
    def from_names(cls, given: Mapping[str, float | None], default: "Budget | None" = None) -> "Budget":
        """The budget in ``{"seconds": 300, "steps": None, ...}``; ``default`` when all are None or missing.

        Raises:
            ValueError: more than one is given, none and there is no default, or one that is not more than 0.
        """
        found = {name: given[name] for name in BUDGETS if given.get(name) is not None}
        if not found and default is not None:
            return default
        if len(found) != 1:
            values = " and ".join(f"training.{name} is {given.get(name)}" for name in found or BUDGETS)
            raise ValueError(f"{values}; give exactly one of them")
        ((kind, amount),) = found.items()
        more_than(f"training.{kind}", amount, 0)  # type: ignore[arg-type]
        return cls(kind, amount)  # type: ignore[arg-type]

    def part(self, share: float) -> "Budget":
        """A share of it, whole where it counts steps or time steps, and at least one of them where it is not 0."""
        amount = self.amount * share
        return Budget(self.kind, max(min(1, self.amount), round(amount)) if self.kind in _WHOLE else amount)

    def to_dict(self) -> dict[str, float]:
        """``{"seconds": 300}``, as a recipe has it."""
        return {self.kind: self.amount}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Budget, optimiser and loop.

    A run spends its budget and less than one step more. With any budget but ``seconds`` a run is a pure function of
    its recipe on one machine, and a resumed run equals one that never stopped, bit for bit.

    Args:
        budget: of the whole chain of methods. A recipe gives it by its kind: ``seconds: 300``.
        batch_size: sequences per step, of whatever length: the curriculum's first steps are small and many.
        learning_rate: AdamW's, at its peak.
        weight_decay: AdamW's.
        schedule: what the learning rate does after a short rise: a cosine to nearly 0, or nothing.
        curriculum: T at the start of each method, or a little less; it doubles up to the recipe's length. 0 trains at
            the recipe's length alone.
        accumulate: parts that each batch is cut into, to save device memory.
        evaluations: evaluations (and checkpoints) per method.
        patience: end a method after so many evaluations in a row with a student that is clearly worse than the best,
            and return the rest of the budget; 0 never does. It begins once the best is better than a constant guess.
        vary: real inputs of training sequences are moved and stretched by so much of what sequences differ by in level
            and size (see ``nounroll.training.variation``); 0 trains on them as they are.
        device: where to run; "auto" takes cuda, then mps, then cpu.
        precision: "auto" is bf16-mixed on CUDA and 32-true elsewhere.
        shard: of several processes (``torchrun``), give each a part of the weights, gradients and optimiser in place of
            all: less memory, more talk between them. Weights are gathered where they are needed.
        seed: of the data, the initial weights and every random choice.
    """

    budget: Budget
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    schedule: Literal["cosine", "constant"] = "cosine"
    curriculum: int = 16
    accumulate: int = 1
    evaluations: int = 20
    patience: int = 0
    vary: float = 0.0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    shard: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "learning_rate", "accumulate"):
            more_than(f"training.{name}", getattr(self, name), 0)
        for name, least in {"evaluations": 1, "patience": 0, "curriculum": 0, "weight_decay": 0, "vary": 0}.items():
            at_least(f"training.{name}", getattr(self, name), least)
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"training.accumulate is {self.accumulate}; it must divide training.batch_size {self.batch_size}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, the budget by its kind, as in a recipe."""
        named = vars(self)
        return {**self.budget.to_dict(), **{name: value for name, value in named.items() if name != "budget"}}
