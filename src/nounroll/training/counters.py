"""Counters of a run: steps, tokens, seconds and FLOPs, and the share of them that each method has taken."""

import math
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Counters:
    """All of it is saved.

    Attributes:
        link: place in the chain of the method at work.
        step, link_step: optimiser steps of the run, of this method.
        seconds, link_seconds: wall-clock time of the methods before, of this one.
        evaluations: of this method so far.
        skipped: steps whose loss or gradient was not finite.
        passed: evaluations in a row in which the teacher had nothing to teach.
        waited: evaluations in a row of this method without a better student.
        best: the best score of this method (see ``nounroll.training.handover``).
        given: the score of the student that was given, or that the budget was extended for.
        extensions: how often a finished run was given more budget.
        avoid: batches that are left out, by their number in the run.
        records: lines of metrics.jsonl.
        tokens: "method/length" -> time steps trained on.
        costs: "method/length" -> what one of them costs; see ``nounroll.methods.cost``.
    """

    link: int = 0
    step: int = 0
    link_step: int = 0
    link_seconds: float = 0.0
    seconds: float = 0.0
    evaluations: int = 0
    skipped: int = 0
    passed: int = 0
    waited: int = 0
    best: float = math.inf
    given: float = math.inf
    extensions: int = 0
    avoid: list[int] = field(default_factory=list)
    records: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    costs: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def draw(self) -> int:
        """The number of the next batch: the step's number, past the batches to avoid."""
        return self._draw(self.step)

    @property
    def passed_over(self) -> list[int]:
        """The batches to avoid between the last one and the next."""
        last = self._draw(self.step - 1) if self.step else -1
        return [avoided for avoided in sorted(self.avoid) if last < avoided < self.draw]

    def _draw(self, step: int) -> int:
        for avoided in sorted(self.avoid):
            step += avoided <= step
        return step

    def to_dict(self) -> dict[str, Any]:
        """A copy as JSON has it, which knows no infinity."""
        return {name: None if value == math.inf else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Counters":
        """Restore the counters from ``to_dict``."""
        given = deepcopy(document)
        for name in ("best", "given"):
            given[name] = math.inf if given.get(name) is None else given[name]
        return cls(**given)

    def spent(self, budget: str, method: str | None = None) -> float:
        """Return how much of a budget (one of ``BUDGETS``) the run, or the method at work alone, has spent."""
        if budget == "seconds":
            return self.link_seconds + (self.seconds if method is None else 0.0)
        if budget == "steps":
            return self.step if method is None else self.link_step
        keys = [key for key in self.tokens if method in (None, key.split("/")[0])]
        if budget == "tokens":
            return sum(self.tokens[key] for key in keys)
        return sum(self.tokens[key] * self.costs[key][budget] for key in keys)
