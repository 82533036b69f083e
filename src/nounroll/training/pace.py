"""Progress of a run through its budget, and the cost of its steps."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nounroll.core.machine import launched
from nounroll.data.task import SequenceTask, batch_lengths
from nounroll.methods.base import Method
from nounroll.methods.cost import step_cost
from nounroll.training.counters import Counters
from nounroll.training.engine import Engine
from nounroll.training.settings import TrainingSettings

_UNAIDED = "/unaided"  # ends the names of steps that do not ask the teacher (see ``Method.unaided``)


@dataclass(frozen=True)
class Link:
    """One method of a chain, and its share of the budget."""

    name: str
    method: Method
    share: float
    learning_rate: float


class Pace:
    """Clock of a run, in the unit of its budget.

    Args:
        task: source of the sequences on which costs are counted.
        chain: methods in order.
        settings: settings of the loop.
        counters: counters of the run; they hold what is spent.
    """

    def __init__(
        self, task: SequenceTask, chain: Sequence[Link], settings: TrainingSettings, counters: Counters
    ) -> None:
        self.task, self.chain, self.settings, self.counters = task, chain, settings, counters
        self._spent = self._started = 0.0

    def count_all(self, lengths: Sequence[int]) -> None:
        """Count the cost of every method at every length of the curriculum, while the weights are still unsharded."""
        every = sorted({n for length in lengths for n in batch_lengths(self.task, length)})
        for link in self.chain:
            for length in every:
                self.prepare(link, length)

    def start(self) -> None:
        """Start or restart the clock of the current method."""
        self._spent, self._started = self.counters.link_seconds, time.perf_counter()

    def now(self, link: Link, engine: Engine) -> float:
        """Return the share of the method's budget that is spent.

        Methods share the run's budget by their ``share``. If a method exceeds its part by a fraction of a step, the
        next method gets less; if it ends early, the next method gets the rest. If the budget of a finished run is
        extended, the last method continues, by the schedule of the whole budget.
        """
        c, budget, index = self.counters, self.settings.budget, self.chain.index(link)
        seconds = self._spent + time.perf_counter() - self._started
        c.link_seconds = engine.agreed(seconds) if budget.kind == "seconds" else seconds
        if c.extensions:
            return c.spent(budget.kind) / budget.amount
        shares = [one.share for one in self.chain]
        end = budget.amount * sum(shares[: index + 1]) / sum(shares)
        end = round(end) if budget.kind == "steps" else end
        now = c.spent(budget.kind, link.name)
        before = c.spent(budget.kind) - now
        return now / (end - before) if end > before else 1.0

    def has_spent(self, share: float) -> bool:
        """Return whether a share of the run's budget is spent."""
        budget = self.settings.budget
        return share < 1 and self.counters.spent(budget.kind) >= share * budget.amount

    def prepare(self, link: Link, length: int) -> None:
        """Count the cost of a step at a length, once, so that a resumed run uses the same figures."""
        start, costs, unaided = time.perf_counter(), self.counters.costs, link.method.unaided
        for method, key in ((link.method, _key(link, length)), (unaided, _key(link, length, _UNAIDED))):
            if method is not None and key not in costs:
                parts = self.settings.accumulate * launched()[1]
                costs[key] = step_cost(method, self.task, length, self.settings.batch_size, parts)
        self._started += time.perf_counter() - start  # counting is not training time

    def stepped(self, link: Link, length: int, losses: Mapping[str, float] | None = None) -> None:
        """Record a step on a batch of this length; a step that measures no drift was one without the teacher."""
        c, unaided = self.counters, link.method.unaided is not None and losses and "drift" not in losses
        key = _key(link, length, _UNAIDED if unaided else "")
        c.step, c.link_step = c.step + 1, c.link_step + 1
        c.tokens[key] = c.tokens.get(key, 0) + self.settings.batch_size * length


def _key(link: Link, length: int, kind: str = "") -> str:
    return f"{link.name}/{length}{kind}"
