"""Counters of a run: steps, tokens, seconds and FLOPs, in total and for each method."""

import math
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Counters:
    """Counters of a run, all saved in its checkpoints.

    Attributes:
        link: index of the current method in the chain.
        step, link_step: optimiser steps of the run, and of the current method.
        seconds, link_seconds: wall-clock time of all earlier methods, and of the current method.
        evaluations: number of evaluations of the current method.
        skipped: steps whose loss or gradient was not finite.
        passed: consecutive evaluations in which the teacher had nothing to teach.
        waited: consecutive evaluations of the current method without a better student.
        best: best score of the current method (see ``nounroll.training.handover``).
        given: score of the student of the warm start, or of the student whose budget was extended.
        extensions: how often the budget of the finished run was extended.
        avoid: numbers of the batches that are skipped.
        records: number of lines of metrics.jsonl.
        tokens: "method/length" -> time steps trained on; "method/length/unaided" for steps without the teacher.
        costs: the same names -> cost of one time step; see ``nounroll.methods.cost``.
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
        """Number of the next batch: the step's number, moved past the batches to avoid."""
        return self._draw(self.step)

    @property
    def passed_over(self) -> list[int]:
        """Batches to avoid between the last batch and the next."""
        last = self._draw(self.step - 1) if self.step else -1
        return [avoided for avoided in sorted(self.avoid) if last < avoided < self.draw]

    def _draw(self, step: int) -> int:
        for avoided in sorted(self.avoid):
            step += avoided <= step
        return step

    def to_dict(self) -> dict[str, Any]:
        """Copy the counters as plain values for JSON, which cannot hold infinity."""
        return {name: None if value == math.inf else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Counters":
        """Restore the counters from ``to_dict``."""
        given = deepcopy(document)
        for name in ("best", "given"):
            given[name] = math.inf if given.get(name) is None else given[name]
        return cls(**given)

    def spent(self, budget: str, method: str | None = None) -> float:
        """Return how much of a budget (one of ``BUDGETS``) the run, or one method of it, has spent."""
        if budget == "seconds":
            return self.link_seconds + (self.seconds if method is None else 0.0)
        if budget == "steps":
            return self.step if method is None else self.link_step
        keys = [key for key in self.tokens if method in (None, key.split("/")[0])]
        if budget == "tokens":
            return sum(self.tokens[key] for key in keys)
        return sum(self.tokens[key] * self.costs[key][budget] for key in keys)
