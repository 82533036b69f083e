"""Checkpoints of a run, and the way back to the last one."""

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
    """Saves a run, resumes it, and rolls it back where steps went wrong.

    Args:
        task: of the run; its fingerprint is in every checkpoint.
        settings: of the loop.
        state: what is saved and put back.
        pace: the run's clock.
        journal: its records.
        recipe: all settings of the run, kept in its checkpoints; one of another recipe is not loaded.
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
        """Remember the state to go back to, and write a checkpoint where there is a folder of the run."""
        self.guard.saved()
        self.journal.sync()
        self.state.remember()
        if (kept := self.state.engine.agreed(folder)) is not None:
            self.state.save(kept / "checkpoints", self.recipe, self._conditions)

    def load(self, folder: Path | None, chain: Sequence[Link], force: bool = False) -> bool:
        """Go back to the newest checkpoint of a run's folder; False when there is none (see ``RunState.load``)."""
        checkpoints = folder / "checkpoints" if folder else None
        links, budget = len(chain), self.settings.budget
        return self.state.load(checkpoints, self.recipe, self._conditions, links=links, budget=budget, force=force)

    def roll_back(self, link: Link) -> None:
        """Go back to the last checkpoint, all but the clock and the records; the batches of the bad steps are avoided.

        Raises:
            TrainingError: it did not help before.
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
