"""The single training loop: it runs a chain of methods on one student."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from nounroll.core.batch import Batch
from nounroll.core.seeding import generator
from nounroll.data.task import SequenceTask
from nounroll.models.student import Student
from nounroll.rollout.transformer import CausalTransformer
from nounroll.teacher import Teacher
from nounroll.training.counters import Counters
from nounroll.training.engine import Engine
from nounroll.training.handover import Handover
from nounroll.training.journal import Journal
from nounroll.training.log import Bar, status
from nounroll.training.observer import Observer
from nounroll.training.pace import Link, Pace
from nounroll.training.recovery import Recovery
from nounroll.training.run_state import RunState
from nounroll.training.schedule import learning_rate, length_at, scored_batch, taught
from nounroll.training.settings import TrainingSettings
from nounroll.training.unscored import Unscored

_LOGGED = 10  # steps between records of metrics.jsonl
End = Literal["finished", "stopped", "paused"]


class Loop:
    """A run in memory: its state and its training loop.

    Args:
        task: source of sequences.
        stages: lengths T of the curriculum; the recipe's length is the last.
        student: the student to train, or the Transformer that is trained in its place.
        teacher: source of labels, or None.
        chain: methods in order.
        settings: settings of the loop.
        knowable: nats per scored element between the best constant guess and the best possible prediction.
        by_errors: choose students by their errors (see ``Handover``).
        folder: folder of metrics and checkpoints; None writes nothing.
        recipe: all settings of the run, kept in its checkpoints; a checkpoint of another recipe is refused.
        progress: show a progress bar on stderr.
        warm: the student comes from a warm start: no worse student is handed over.
    """

    def __init__(
        self,
        *,
        task: SequenceTask,
        stages: tuple[int, ...],
        student: Student | CausalTransformer,
        teacher: Teacher | None,
        chain: list[Link],
        settings: TrainingSettings,
        knowable: float,
        by_errors: bool = False,
        folder: Path | None = None,
        recipe: dict[str, Any] | None = None,
        progress: bool = False,
        warm: bool = False,
    ) -> None:
        self.task, self.length, self.warm = task, stages[-1], warm
        self.student, self.teacher, self.chain, self.settings = student, teacher, chain, settings
        self.folder, self.progress, self.counters = folder, progress, Counters()
        self.journal = Journal(self.counters)
        self.pace = Pace(task, chain, settings, self.counters)
        if settings.shard:
            self.pace.count_all(stages)
        self.engine = Engine(settings, {"student": student, **({} if teacher is None else {"teacher": teacher})})
        self.stages, self._taught = stages, stages if chain[-1].method.trains_teacher else taught(stages, teacher)
        self.observer = Observer(task, self.length, settings.seed, self.engine, student, teacher, self._taught[-1])
        self.handover = Handover(
            student, self.observer, self.counters, knowable=knowable, by_errors=by_errors, patience=settings.patience
        )
        self.state = RunState(self.engine, student, teacher, self.counters, self.handover)
        self.recovery = Recovery(task, settings, self.state, self.pace, self.journal, recipe or {})

    @property
    def history(self) -> list[dict[str, Any]]:
        """All records so far."""
        return self.journal.records

    def _stages(self, link: Link) -> tuple[int, ...]:
        """Return the lengths T of a method's curriculum; only the last one after the budget of a run was extended."""
        if self.counters.extensions:
            return self.stages[-1:]
        return self._taught if link.method.trains_teacher else self.stages

    # -- the loop ---------------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool] = lambda: False, until: float = 1.0) -> End:
        """Train until the budget is spent.

        Args:
            stop: called after every step; if it returns True, a checkpoint is written and the loop ends.
            until: share of the budget after which the loop pauses with a checkpoint; another ``run`` continues.
        """
        self.journal.open(self.folder)
        if (self.warm or self.counters.extensions) and self.counters.link < len(self.chain):
            self._give(self.chain[self.counters.link])
        self.state.remember()
        with Bar(self.progress) as bar:
            while self.counters.link < len(self.chain):
                end = self._run_link(self.chain[self.counters.link], bar, stop, until)
                if end != "finished":
                    return end
        return "finished"

    def _run_link(self, link: Link, bar: Bar, stop: Callable[[], bool], until: float) -> End:
        c, s, method = self.counters, self.settings, link.method
        forward = self.engine.prepare(method)
        is_last = link is self.chain[-1]
        bar.start(link.name)
        self.pace.start()
        unscored = Unscored(link.name, (self.task.max_length or 0) if method.carries else 0)
        if c.link_step == 0:
            self.handover.begin(method, is_last)
            if (c.step or self.warm) and method.improves_only:
                self._evaluate(link, 0.0)  # the student that must not get worse
            self.state.remember()  # also needed by a rollback
        while (now := self.pace.now(link, self.engine)) < 1 and not self.handover.is_over(method):
            if self.pace.has_spent(until):
                self.save()
                return "paused"
            if method.carries:
                for avoided in c.passed_over:
                    self._read(forward, self._batch(link, now, avoided), now, avoided)
            batch = self._batch(link, now, c.draw)
            self.pace.prepare(link, batch.length)
            if warning := unscored.warning(batch):
                self.pace.stepped(link, batch.length)
                self.journal.write("unscored", link, now, length=batch.length, warning=warning)
                break
            scored = unscored.batches == 0
            if not scored and not method.carries:  # there is nothing to learn from this batch
                self.pace.stepped(link, batch.length)
                continue
            losses = self._step(link, forward, batch, now) if scored else {}
            if method.carries and not losses:  # the memory still reads the batch
                self._read(forward, batch, now, c.draw)
            if self.recovery.guard.stepped(c.draw, losses is not None):
                self.recovery.roll_back(link)
                continue
            self.pace.stepped(link, batch.length, losses)
            now = self.pace.now(link, self.engine)
            if losses and (c.step % _LOGGED == 0 or now >= 1):
                self.journal.write("train", link, now, length=batch.length, **losses)
            bar.update(now, f"{status(losses, c)}  {self.observer.warning}")
            if losses is None and now < 1:
                continue  # no evaluation or stop here: a checkpoint follows a good step
            due, asked = now >= (c.evaluations + 1) / s.evaluations, now < 1 and self.engine.agreed(stop())
            if (due or asked) and not self.engine.is_finite():
                self.recovery.roll_back(link)
            elif asked or (due and now < 1):
                if due:
                    self._evaluate(link, now)
                    self.handover.look(method, is_last, length_at(self._stages(link), now), now)
                    c.evaluations = int(now * s.evaluations)
                if asked:
                    self._stop(link)
                    return "stopped"
                self.save()
        if reason := self.handover.is_over(method):
            self.journal.write(reason, link, now)
        self._finish(link, length_at(self._stages(link), now))
        return "finished"

    def _batch(self, link: Link, progress: float, draw: int) -> Batch:
        return scored_batch(self.task, self.settings, self._stages(link), progress, draw, in_order=link.method.carries)

    def _draws(self, draw: int) -> Iterator[torch.Generator]:
        s = self.settings
        return (generator(s.seed, f"loss/{part}", draw) for part in range(s.accumulate))

    def _read(self, forward: Any, batch: Batch, progress: float, draw: int) -> None:
        """Carry the memory of a stream through a batch without learning from it."""
        self.state.method_state = self.engine.read(forward, batch, self.state.method_state, self._draws(draw), progress)

    def _step(self, link: Link, forward: Any, batch: Batch, progress: float) -> dict[str, float] | None:
        """Take one step on a batch; None if its loss or gradient was not finite, and nothing has changed."""
        c, s = self.counters, self.settings
        rate = link.learning_rate * learning_rate(s, progress)
        found = self.engine.step(forward, batch, self.state.method_state, self._draws(c.draw), progress, rate)
        if found is None:
            c.skipped += 1
            self.journal.write("skipped", link, progress, batch=c.draw, length=batch.length)
            return None
        losses, self.state.method_state = found
        if link.method.improves_only:
            self.handover.average.update(c.link_step + 1)
        return {"rate": rate, **losses}

    def _give(self, link: Link) -> None:
        """Keep, once, the student that the run starts or resumes with."""
        c, s = self.counters, self.settings
        if self.handover.given:
            return
        metrics = self.observer.measure()
        self.handover.give(metrics)
        now = c.spent(s.budget.kind) / s.budget.amount if c.extensions else 0.0
        c.evaluations = int(now * s.evaluations)
        self.journal.write("given", link, now, **metrics)

    def _stop(self, link: Link) -> None:
        """End early: a resumed run continues from the current state, but the best student is handed over."""
        self.engine.gathered(link.method.finish)
        self.save()
        self.handover.stop(link.method)

    def _finish(self, link: Link, length: int) -> None:
        """End the method of a link, and hand over its student."""
        c = self.counters
        metrics = self._evaluate(link, 1.0)
        if link.method.trains_teacher:  # the teacher is frozen now, and the readout moves away from it
            self.journal.write("teacher", link, 1.0, **self.observer.measure_teacher())
        if reason := self.handover.end(link.method, length, metrics):
            self.journal.write(reason, link, 1.0)
        if link is self.chain[-1] and self.handover.settle():
            self.journal.write("kept", link, 1.0)
        self.state.method_state = {}
        c.seconds += c.link_seconds
        c.link, c.link_step, c.link_seconds, c.evaluations = c.link + 1, 0, 0.0, 0
        self.save()

    # -- evaluation and checkpoints ------------------------------------------------------------------

    def _evaluate(self, link: Link, progress: float) -> dict[str, float]:
        metrics = self.look(link)
        self.journal.write("evaluation", link, progress, **metrics, **self.observer.learning(link.method))
        self.handover.note(link.method, metrics)
        return metrics

    def look(self, link: Link, batches: list[Batch] | None = None) -> dict[str, float]:
        """Measure the student as it would be handed over now; on the validation part by default."""
        if self.counters.link_step:  # a method has changed nothing before its first step
            self.engine.gathered(link.method.finish)
        with self.handover.average.in_place():
            return self.observer.measure(batches)

    def save(self) -> None:
        """Remember the state for rollbacks, and write a checkpoint if there is a folder."""
        self.recovery.save(self.folder)

    def load(self, force: bool = False) -> bool:
        """Load the newest checkpoint of the folder; False if there is none (see ``RunState.load``)."""
        return self.recovery.load(self.folder, self.chain, force)
