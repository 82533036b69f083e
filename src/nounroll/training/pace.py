"""Progress of a run through its budget, and the cost of its steps."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from nounroll.core.machine import launched
from nounroll.data.task import SequenceTask
from nounroll.methods.base import Method
from nounroll.methods.cost import step_cost
from nounroll.training.counters import Counters
from nounroll.training.engine import Engine
from nounroll.training.settings import TrainingSettings


@dataclass(frozen=True)
class Link:
    """One method of a chain, and its part of the budget."""

    name: str
    method: Method
    share: float
    learning_rate: float


class Pace:
    """The clock of a run, whatever its budget is counted in.

    Args:
        task: source of the sequences that costs are counted on.
        chain: methods in order.
        settings: of the loop.
        counters: of the run; what is spent is kept there.
    """

    def __init__(
        self, task: SequenceTask, chain: Sequence[Link], settings: TrainingSettings, counters: Counters
    ) -> None:
        self.task, self.chain, self.settings, self.counters = task, chain, settings, counters
        self._spent = self._started = 0.0

    def count_all(self, lengths: Sequence[int]) -> None:
        """Count the cost of every method at every length, on weights that are still whole."""
        self.counters.costs = {f"{link.name}/{n}": self._cost(link, n) for link in self.chain for n in lengths}

    def start(self) -> None:
        """Start the clock of the method at work, or start it again."""
        self._spent, self._started = self.counters.link_seconds, time.perf_counter()

    def now(self, link: Link, engine: Engine) -> float:
        """Share of the method's budget that is spent.

        Methods share the run's budget by their ``share``. What one spends beyond its end, a part of a step, the next
        one lacks; what one leaves, the next one has. The last one goes on with what a finished run is given on top, by
        the schedule of the whole budget.
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
        """Count the cost of a step at a length, once, so that a resumed run goes by the same figures."""
        key = f"{link.name}/{length}"
        if key not in self.counters.costs:
            start = time.perf_counter()
            self.counters.costs[key] = self._cost(link, length)
            self._started += time.perf_counter() - start  # counting is no training

    def stepped(self, link: Link, length: int) -> None:
        """Note a step on a batch of this length."""
        c, key = self.counters, f"{link.name}/{length}"
        c.step, c.link_step = c.step + 1, c.link_step + 1
        c.tokens[key] = c.tokens.get(key, 0) + self.settings.batch_size * length

    def _cost(self, link: Link, length: int) -> dict[str, float]:
        parts = self.settings.accumulate * launched()[1]
        return step_cost(link.method, self.task, length, self.settings.batch_size, parts)
