"""The only training loop: it walks a chain of methods over one student.

Every random choice is a pure function of (seed, stream, step), so the state of a run is its weights, its
optimiser and a few counters. A checkpoint holds just that.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nounroll import checkpoint
from nounroll.batch import Batch
from nounroll.data.task import SequenceTask, draw
from nounroll.machine import launched
from nounroll.methods.base import Method
from nounroll.methods.carried import from_tensors, to_tensors
from nounroll.methods.cost import COSTS, step_cost
from nounroll.rollout import collapse
from nounroll.rollout.evaluate import constant_guess, evaluate, evaluate_teacher, validation_batches
from nounroll.seeding import generator
from nounroll.student import Student
from nounroll.teacher import Teacher
from nounroll.training import saving
from nounroll.training.counters import Counters
from nounroll.training.engine import Engine
from nounroll.training.guard import Guard
from nounroll.training.log import Bar, MetricsFile
from nounroll.training.optimizer import load_optimizer_state, optimizer_state, parameter_of
from nounroll.training.saving import State
from nounroll.training.schedule import learning_rate, length_at, lengths
from nounroll.training.settings import TrainingSettings
from nounroll.training.sharding import as_in, load_weights, own, whole
from nounroll.transformer import CausalTransformer

_AHEAD = 0.05  # nats per scored element by which a student is better than its teacher
_KNOWS = 0.2  # nats per scored element by which a teacher is better than a constant guess, or knows too little
_PASSED = 2  # evaluations in a row after which a teacher has been passed
_MAY_CHANGE = {  # before a resume
    *("training.keep", "training.keep_best", "training.log_every", "training.device", "training.shard"),
    "teacher.recompute",
}


@dataclass(frozen=True)
class Link:
    """One method of a chain, and its part of the budget."""

    name: str
    method: Method
    share: float
    learning_rate: float


class Loop:
    """A run in memory: its state, and how it goes on.

    Args:
        task: source of sequences.
        length: T of the recipe, in time steps.
        student: to be trained; or the Transformer that is trained in its place.
        teacher: labels of drift, or None (bptt alone).
        chain: methods in order.
        settings: of the loop.
        folder: where metrics and checkpoints go; None keeps nothing.
        recipe: all settings of the run, kept in its checkpoints; one of another recipe is not loaded.
        progress: show a progress bar on stderr.
    """

    def __init__(
        self,
        *,
        task: SequenceTask,
        length: int,
        student: Student | CausalTransformer,
        teacher: Teacher | None,
        chain: list[Link],
        settings: TrainingSettings,
        folder: Path | None = None,
        recipe: Mapping[str, Any] | None = None,
        progress: bool = False,
    ) -> None:
        self.recipe = dict(recipe or {})
        self.task, self.length, self.student, self.teacher = task, length, student, teacher
        self.chain, self.settings, self.folder, self.progress = chain, settings, folder, progress
        self.counters = Counters()
        self.history: list[dict[str, Any]] = []
        self.validation = validation_batches(task, settings.evaluation_sequences, length, settings.seed)
        self.stages = [n for n in lengths(settings, length) if n == length or _can_sample(task, n)]
        self._costs = self._count_costs() if settings.shard else {}
        self.engine = Engine(settings, {"student": student, **({} if teacher is None else {"teacher": teacher})})
        self.warning = ""  # what the last evaluation found wrong, in a few words
        self._best: dict[str, Tensor] = {}  # the student that the method at work may have to go back to
        self._guard = Guard()
        self.counters.costs |= self._costs

    def _count_costs(self) -> dict[str, dict[str, float]]:
        """What a step of each method costs at each length: it is counted on whole weights, before they are sharded."""
        s, parts = self.settings, self.settings.accumulate * launched()[1]
        return {
            f"{link.name}/{length}": step_cost(link.method, self.task, length, s.batch_size, parts)
            for link in self.chain
            for length in self.stages
        }

    # -- the loop ---------------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Train until the budget is spent.

        Args:
            stop: asked after every step; when it says yes, a checkpoint is written and the loop ends.

        Returns:
            True when the budget is spent, False when ``stop`` ended it.
        """
        metrics_path = self.folder / "metrics.jsonl" if self.folder else None
        self._file = MetricsFile(metrics_path, keep=self.counters.records)
        self.history = self._file.kept or self.history
        self._remember()
        with Bar(self.progress) as bar:
            while self.counters.link < len(self.chain):
                if not self._run_link(self.chain[self.counters.link], bar, stop):
                    self._stop(self.chain[self.counters.link])
                    return False
        return True

    def _run_link(self, link: Link, bar: Bar, stop: Callable[[], bool]) -> bool:
        c, s = self.counters, self.settings
        method, parts = self.engine.prepare(link.method), s.accumulate * self.engine.processes
        forward = torch.compile(method) if s.compile else method
        may_be_passed = link.method.until_passed and link is not self.chain[-1]
        bar.start(link.name)
        spent, clock = c.link_seconds, time.perf_counter()

        def progress() -> float:
            seconds = spent + time.perf_counter() - clock
            c.link_seconds = self.engine.agreed(seconds) if s.budget == "seconds" else seconds
            return self._progress(link)

        if c.link_step == 0 and c.step and link.method.improves_only:
            self._evaluate(link, 0.0)  # the student that must not get worse
        elif c.link_step == 0 and may_be_passed:
            self._best = self._copied()  # the student to go on with if nothing is learnt here
            self._remember()  # for a rollback too
        while (now := progress()) < 1 and c.passed < _PASSED:
            length = length_at(s, self.stages, now)
            key = f"{link.name}/{length}"
            if key not in c.costs:  # counted once, so that a resumed run goes by the same figures
                start = time.perf_counter()
                c.costs[key] = step_cost(link.method, self.task, length, s.batch_size, parts)
                clock += time.perf_counter() - start  # counting is no training
            losses = self._step(link, forward, length, now)
            if self._guard.stepped(c.draw, losses is not None):
                self._roll_back(link)
                continue
            c.step, c.link_step = c.step + 1, c.link_step + 1
            c.tokens[key] = c.tokens.get(key, 0) + s.batch_size * length
            now = progress()
            if losses and (c.step % s.log_every == 0 or now >= 1):
                self._log("train", link, now, length=length, **losses)
            bar.update(now, f"{_status(losses, c)}  {self.warning}")
            if losses is None and now < 1:
                continue  # neither looked at nor stopped at: what is saved comes after a good step
            due, asked = now >= (c.evaluations + 1) / s.evaluations, now < 1 and self.engine.agreed(stop())
            if (due or asked) and not self.engine.is_finite():
                self._roll_back(link)
            elif asked or (due and now < 1):
                if due:
                    self._evaluate(link, now)
                    if may_be_passed:
                        c.passed = c.passed + 1 if self._is_passed(length, now) else 0
                    c.evaluations = int(now * s.evaluations)
                    self.save()
                if asked:
                    return False
        if c.passed >= _PASSED:
            self._log("passed", link, now)
        self._finish(link, length_at(s, self.stages, now))
        return True

    def _step(self, link: Link, forward: Any, length: int, progress: float) -> dict[str, float] | None:
        """One step on the next batch; None when its loss or gradient was not finite, and nothing has changed."""
        c, s = self.counters, self.settings
        batch = draw(self.task, s.batch_size, length, s.seed, "train", c.draw)
        generators = (generator(s.seed, f"loss/{part}", c.draw) for part in range(s.accumulate))
        rate = link.learning_rate * learning_rate(s, progress)
        carried = link.method.carried
        losses = self.engine.step(forward, batch, generators, progress, rate)
        if losses is None:
            link.method.carried = carried
            c.skipped += 1
            self._log("skipped", link, progress, batch=c.draw, length=length)
            return None
        return {"rate": rate, **losses}

    def _progress(self, link: Link) -> float:
        """Share of the link's budget that is spent.

        Links share the run's budget by their ``share``. What one spends beyond its end, a part of a step, the next
        one lacks.
        """
        budget, index = self.settings.budget, self.chain.index(link)
        shares = [one.share for one in self.chain]
        end = getattr(self.settings, budget) * sum(shares[: index + 1]) / sum(shares)
        end = round(end) if budget == "steps" else end
        now = self.counters.spent(budget, link.name)
        before = self.counters.spent(budget) - now
        return now / (end - before) if end > before else 1.0

    def _stop(self, link: Link) -> None:
        """End early: the checkpoint goes on from here, but the student handed over is the best one."""
        self.engine.gathered(link.method.finish)
        self.save()
        if link.method.improves_only and self._best and not self.measure()["loss"] <= self.counters.best:
            self.student.load_state_dict(self._best)

    def _finish(self, link: Link, length: int) -> None:
        """End a link: hand over no student worse than the best one, and none whose teacher taught it nothing."""
        c = self.counters
        self._evaluate(link, 1.0)
        if link.name == "smt":  # from here on it is frozen, and the readout moves away from it
            self._log("teacher", link, 1.0, **self._measure_teacher(self.test_batches()))
            if self._best and self._knows_nothing(length):
                self.student.load_state_dict(self._best)
                self._log("restart", link, 1.0)
        elif link.method.improves_only and self._best:
            self.student.load_state_dict(self._best)
        self._best, link.method.carried = {}, ()
        c.seconds += c.link_seconds
        c.link, c.link_step, c.link_seconds, c.evaluations = c.link + 1, 0, 0.0, 0
        c.passed, c.best = 0, math.inf
        self.save()

    # -- looking ----------------------------------------------------------------------------------

    def measure(self, batches: list[Batch] | None = None) -> dict[str, float]:
        """The student on held-out sequences, the run's own when left out; with its drift where there is a teacher."""
        training = self.student.training
        self.student.eval()
        labels = self.teacher.memories if self.teacher else None
        batches = self.validation if batches is None else batches
        metrics = self.engine.gathered(lambda: evaluate(self.student, batches, labels))
        self.student.train(training)
        return self.engine.agreed(metrics)

    def test_batches(self) -> list[Batch]:
        """Held-out sequences that training never looks at, for the last figures."""
        s = self.settings
        return validation_batches(self.task, 8 * s.evaluation_sequences, self.length, s.seed, stream="test")

    def _measure_teacher(self, batches: list[Batch]) -> dict[str, float]:
        """The teacher on these sequences, by the readout that was trained on its memories."""
        student, teacher = self.student, self.teacher
        assert isinstance(student, Student)
        assert teacher is not None
        metrics = self.engine.gathered(lambda: evaluate_teacher(student, batches, teacher.memories))
        return self.engine.agreed(metrics)

    def _is_passed(self, length: int, progress: float) -> bool:
        """Whether the teacher has nothing to teach, at the length that it is trained on now.

        The student alone predicts better; or, from half of the way on, a constant guess is nearly as good.
        """
        student, teacher, guess = self._losses(length)
        return student < teacher - _AHEAD or (progress >= 0.5 and guess < teacher + _KNOWS)

    def _knows_nothing(self, length: int) -> bool:
        """Whether a constant guess is nearly as good as the teacher, and as the student alone."""
        student, teacher, guess = self._losses(length)
        return guess < min(student, teacher) + _KNOWS

    def _losses(self, length: int) -> tuple[float, float, float]:
        """Of the student alone, its teacher and the best constant guess, on held-out sequences of a length."""
        batches = validation_batches(self.task, self.settings.evaluation_sequences, length, self.settings.seed)
        guess = constant_guess(self.task.targets, batches).get("loss", 0.0)
        return self.measure(batches)["loss"], self._measure_teacher(batches)["loss"], guess

    def _evaluate(self, link: Link, progress: float) -> None:
        self.engine.gathered(link.method.finish)
        metrics = self.measure()
        learning = {"teacher_loss": self._measure_teacher(self.validation)["loss"]} if link.name == "smt" else {}
        self._log("evaluation", link, progress, **metrics, **learning, **self._collapse())
        self.counters.note_loss(metrics["loss"])
        if metrics["loss"] <= self.counters.best and math.isfinite(metrics["loss"]):
            self.counters.best = metrics["loss"]
            if link.method.improves_only:
                self._best = self._copied()

    def _copied(self) -> dict[str, Tensor]:
        """The student's weights as they are now."""
        return {name: t.detach().clone() for name, t in self.student.state_dict().items()}

    def _collapse(self) -> dict[str, Any]:
        """Figures of the teacher's memories, and a warning where they have collapsed: the bar shows it too."""
        student, teacher = self.student, self.teacher
        if teacher is None or not isinstance(student, Student):
            return {}
        found = self.engine.gathered(lambda: collapse.guard(student, teacher, self.validation[0]))
        self.warning = collapse.warning(found)
        return {**found, **({"warning": self.warning} if self.warning else {})}

    def _log(self, event: str, link: Link, progress: float, **values: Any) -> None:
        c = self.counters
        record = {
            "event": event,
            "method": link.name,
            "step": c.step,
            "tokens": c.spent("tokens"),
            **values,
            **{name: c.spent(name) for name in COSTS},
            "progress": round(progress, 4),
            "seconds": round(c.spent("seconds"), 2),
        }
        c.records += 1
        self.history.append(record)
        self._file.write(record)

    # -- saving -----------------------------------------------------------------------------------

    def save(self) -> None:
        """Remember the state to go back to, and write a checkpoint where there is a folder."""
        self._guard.saved()
        tensors, documents = self._remember()
        if (kept := self.engine.agreed(self.folder)) is None:
            return
        checkpoints = kept / "checkpoints"
        state = tensors, {**documents, "recipe": self.recipe}
        saving.write(self.engine, checkpoint.step_folder(checkpoints, self.counters.step), self._live(), state)
        best = self.counters.lowest_step if self.settings.keep_best else None
        spared = {} if best is None else {checkpoint.step_folder(checkpoints, best)}
        self.engine.by_first(lambda: checkpoint.prune(checkpoints, self.settings.keep, spared))

    def load(self) -> bool:
        """Go back to the newest checkpoint of the folder; False when there is none.

        Raises:
            CheckpointError: it is damaged or belongs to another recipe.
        """
        newest = self.engine.by_first(lambda: checkpoint.newest(self.folder / "checkpoints") if self.folder else None)
        if newest is None:
            return False
        tensors, documents = saving.read(self.engine, newest, self._likes())
        for name, kept, now in _changes(documents.get("recipe"), self.recipe):
            raise checkpoint.CheckpointError(
                f"{name} is {now!r}, and {newest} was trained with {kept!r}; set it back, or train a new run"
            )
        try:
            self._restore(tensors, documents)
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise checkpoint.CheckpointError(f"{newest} does not fit this recipe: {reason}") from error
        return True

    def _live(self) -> dict[str, dict[str, Tensor]]:
        """All tensors of the state, where training has them."""
        groups = {"student": self.student.state_dict(), "optimizer": optimizer_state(self.engine.optimizer)[0]}
        if self.teacher is not None:
            groups["teacher"] = self.teacher.state_dict()
        groups |= {"best": self._best, "carried": self._carried()}
        return {name: tensors for name, tensors in groups.items() if tensors or name not in ("best", "carried")}

    def _carried(self) -> dict[str, Tensor]:
        """What the method at work has under way, the rows of all processes."""
        link = self.chain[self.counters.link] if self.counters.link < len(self.chain) else None
        rows = {} if link is None else to_tensors(link.method.carried)
        found = self.engine.by_each(lambda: {name: t.cpu() for name, t in rows.items()})
        return {name: torch.cat([one[name] for one in found], dim=1) for name in rows}

    def _carry_on(self, tensors: Mapping[str, Tensor]) -> None:
        """Give the method at work its own rows of what was under way, and the others nothing."""
        rank, count = self.engine.rank, self.engine.processes
        memories = tensors.get("memories")
        if memories is not None and memories.shape[2:] != self.student.memory_shape:
            raise ValueError(f"it carries memories of shape {tuple(memories.shape[2:])}")
        rows = {name: t.chunk(count, dim=1)[rank].to(self.engine.device) for name, t in tensors.items()}
        for index, link in enumerate(self.chain):
            link.method.carried = from_tensors(rows) if index == self.counters.link else ()

    def _likes(self) -> Callable[[str, str], Tensor | None]:
        """(group, name) -> the weight that a tensor of a checkpoint is, or is a moment of, if any."""
        student, teacher = self.student.state_dict(), self.teacher.state_dict() if self.teacher else {}
        weights = {"student": student, "best": student, "teacher": teacher}
        moments = partial(parameter_of, self.engine.optimizer)
        return lambda group, name: moments(name) if group == "optimizer" else weights.get(group, {}).get(name)

    def _remember(self) -> State:
        """Copy the state of the run: what a checkpoint holds, and what a rollback goes back to.

        Of weights in parts, each process copies its own.
        """
        copies = {
            group: {name: own(t.detach()).cpu().clone() for name, t in named.items()}
            for group, named in self._live().items()
        }
        document = optimizer_state(self.engine.optimizer)[1]
        self._remembered = copies, {"counters": self.counters.to_dict(), "optimizer": document}
        return self._remembered

    def _restore(self, tensors: Mapping[str, Mapping[str, Tensor]], documents: Mapping[str, Any]) -> None:
        load_weights(self.student, tensors["student"])
        if self.teacher is not None:
            load_weights(self.teacher, tensors["teacher"])
        counters = Counters.from_dict(documents["counters"])
        vars(self.counters).update(vars(counters), costs={**self._costs, **counters.costs})
        load_optimizer_state(self.engine.optimizer, tensors["optimizer"], documents["optimizer"])
        self._carry_on(tensors.get("carried", {}))
        like = self.student.state_dict()
        self._best = {
            name: as_in(t.to(self.engine.device, copy=True), like[name]) for name, t in tensors.get("best", {}).items()
        }

    def hand_over(self, student: Student | CausalTransformer, teacher: Teacher | None) -> None:
        """Go on with other modules of the same form, which get the weights: whole ones, after the last step."""
        for old, new in ((self.student, student), (self.teacher, teacher)):
            if old is not None and new is not None:
                new.load_state_dict({name: whole(t).cpu() for name, t in old.state_dict().items()})
        self.student, self.teacher = student, teacher

    def _roll_back(self, link: Link) -> None:
        """Go back to the last checkpoint, all but the clock and the log; the batches of the bad steps are avoided.

        Raises:
            TrainingError: it did not help before.
        """
        c = self.counters
        advice = f"in {link.name}, the last time at step {c.step}; lower training.learning_rate"
        avoid = self._guard.roll_back(f"{advice} ({self.settings.learning_rate}) or look at the data")
        now = {name: getattr(c, name) for name in ("seconds", "link_seconds", "records", "skipped")}
        step, avoid = c.step, sorted({*c.avoid, *avoid})
        self._restore(*self._remembered)
        vars(c).update(now, avoid=avoid)
        self._log("rollback", link, self._progress(link), from_step=step, avoid=avoid)


def _can_sample(task: SequenceTask, length: int) -> bool:
    """Whether a task gives sequences of a length: some have only one. Such a task gets no curriculum."""
    try:
        draw(task, 2, length, 0, "trial")
    except Exception:  # a user's task refuses a length in a way of its own
        return False
    return True


def _changes(kept: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted name, in the checkpoint, now) of each setting that is not what it was."""
    if isinstance(kept, Mapping) and isinstance(now, Mapping):
        for key in {**kept, **now}:
            yield from _changes(kept.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif kept != now and name not in _MAY_CHANGE:
        yield name or "recipe", kept, now


def _status(losses: dict[str, float] | None, counters: Counters) -> str:
    rate = counters.spent("tokens") / max(counters.spent("seconds"), 1e-9)
    return f"loss {losses['loss']:.3f}  {rate:,.0f} tok/s" if losses else "step skipped: not finite"
