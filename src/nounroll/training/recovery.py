"""Checkpoints of a run, and rollbacks to the last one."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from nounroll.data.task import SequenceTask
from nounroll.training.conditions import conditions
from nounroll.training.guard import Guard
from nounroll.training.journal import Journal
from nounroll.training.pace import Link, Pace
from nounroll.training.run_state import RunState
from nounroll.training.settings import TrainingSettings


class Recovery:
    """Saving, resuming and rolling back of a run.

    Args:
        task: task of the run; every checkpoint holds its fingerprint.
        settings: settings of the loop.
        state: the state to save and restore.
        pace: clock of the run.
        journal: records of the run.
        recipe: all settings of the run, kept in its checkpoints; a checkpoint of another recipe is refused.
    """

    def __init__(
        self,
        task: SequenceTask,
        settings: TrainingSettings,
        state: RunState,
        pace: Pace,
        journal: Journal,
        recipe: Mapping[str, Any],
    ) -> None:
        self.task, self.settings, self.state, self.pace = task, settings, state, pace
        self.journal, self.recipe, self.guard = journal, recipe, Guard()

    def save(self, folder: Path | None) -> None:
        """Remember the state for rollbacks, and write a checkpoint if the run has a folder."""
        self.guard.saved()
        self.journal.sync()
        self.state.remember()
        if (kept := self.state.engine.agreed(folder)) is not None:
            self.state.save(kept / "checkpoints", self.recipe, self._conditions)

    def load(self, folder: Path | None, chain: Sequence[Link], force: bool = False) -> bool:
        """Load the newest checkpoint of a run's folder; False if there is none (see ``RunState.load``)."""
        checkpoints = folder / "checkpoints" if folder else None
        links, budget = len(chain), self.settings.budget
        return self.state.load(checkpoints, self.recipe, self._conditions, links=links, budget=budget, force=force)

    def roll_back(self, link: Link) -> None:
        """Restore the last checkpoint, except the clock and the records, and avoid the batches of the bad steps.

        Raises:
            TrainingError: earlier rollbacks did not help.
        """
        c = self.state.counters
        advice = f"in {link.name}, the last time at step {c.step}; lower training.learning_rate"
        avoid = self.guard.roll_back(f"{advice} ({self.settings.learning_rate}) or look at the data")
        now = {name: getattr(c, name) for name in ("seconds", "link_seconds", "records", "skipped")}
        step, avoid = c.step, sorted({*c.avoid, *avoid})
        self.state.go_back()
        vars(c).update(now, avoid=avoid)
        self.journal.write("rollback", link, self.pace.now(link, self.state.engine), from_step=step, avoid=avoid)

    @cached_property
    def _conditions(self) -> dict[str, Any]:
        engine = self.state.engine
        return conditions(self.task, engine.device, engine.processes)
