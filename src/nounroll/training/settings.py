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
        kind: one of ``BUDGETS``: wall-clock seconds, including evaluations; optimiser steps; time steps trained on, of
            all sequences together; FLOPs of losses and gradients (see ``nounroll.methods.cost``); or the FLOPs on the
            longest chain of dependent operations.
        amount: amount of the budget; 0 is allowed only with a given student, which then stays unchanged.
    """

    kind: str
    amount: float

    def __post_init__(self) -> None:
        if self.amount != 0:
            more_than(f"training.{self.kind}", self.amount, 0)

    @classmethod
    def from_names(cls, given: Mapping[str, float | None], default: "Budget | None" = None) -> "Budget":
        """Build the budget in ``{"seconds": 300, "steps": None, ...}``; ``default`` if all are None or missing.

        Raises:
            ValueError: more than one budget is given, none is given without a default, or one is not positive.
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
        """Return a share of the budget. Steps and tokens are rounded to integers, at least 1 unless the budget is 0."""
        amount = self.amount * share
        return Budget(self.kind, max(min(1, self.amount), round(amount)) if self.kind in _WHOLE else amount)

    def to_dict(self) -> dict[str, float]:
        """``{"seconds": 300}``, as a recipe has it."""
        return {self.kind: self.amount}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings of the budget, the optimiser and the loop.

    A run spends its budget plus less than one step. With any budget but ``seconds``, a run is a pure function of
    its recipe on one machine, and a resumed run equals an uninterrupted one, bit for bit.

    Args:
        budget: budget of the whole chain of methods. A recipe gives it by its kind: ``seconds: 300``.
        batch_size: sequences per step, at any length: the curriculum's first steps are small and many.
        learning_rate: peak learning rate of AdamW.
        weight_decay: weight decay of AdamW.
        schedule: learning rate after a short warm-up: a cosine decay to nearly 0, or constant.
        curriculum: T at the start of each method, or a little less; it doubles up to the recipe's length. 0 trains
            only at the recipe's length.
        accumulate: number of parts that each batch is split into, to save device memory.
        evaluations: number of evaluations (and checkpoints) per method.
        patience: end a method after this many consecutive evaluations with a student clearly worse than the best, and
            return the rest of the budget; 0 disables it. It starts once the best is better than a constant guess.
        vary: shift and scale real inputs of training sequences by this share of the differences between sequences in
            level and size (see ``nounroll.training.variation``); 0 trains on unchanged sequences.
        device: device to train on; "auto" takes cuda, then mps, then cpu.
        precision: "auto" is bf16-mixed on CUDA and 32-true elsewhere.
        shard: with several processes (``torchrun``), give each a part of the weights, gradients and optimiser state in
            place of all: less memory, more communication. Weights are gathered where they are needed.
        seed: seed of the data, the initial weights and every random choice.
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
        """Return plain values, with the budget by its kind, as in a recipe."""
        named = vars(self)
        return {**self.budget.to_dict(), **{name: value for name, value in named.items() if name != "budget"}}
