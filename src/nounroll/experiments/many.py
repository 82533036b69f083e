"""Several tasks on one frozen network: a small readout learns each of them."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nounroll.core.batch import Batch
from nounroll.core.interrupts import stop_on_interrupt
from nounroll.core.notices import notice
from nounroll.core.ranges import at_least, more_than
from nounroll.core.seeding import generator
from nounroll.data.kept import CUSTOM, keep
from nounroll.data.task import SequenceTask, tell_cut, training_batch
from nounroll.experiments.facts import look
from nounroll.experiments.run import usual_length
from nounroll.experiments.warm_start import open_start, opened_student
from nounroll.models.heads import Heads
from nounroll.models.student import Student
from nounroll.objectives.readout import readout_loss
from nounroll.rollout.evaluate import evaluate_task, validation_batches
from nounroll.training.schedule import learning_rate
from nounroll.training.settings import Budget, TrainingSettings

_EVALUATIONS = 8
_CLIP = 1.0  # largest gradient norm of a readout


@torch.inference_mode(False)
@torch.enable_grad()  # a notebook may have switched gradients off
def adapt_many(
    student: Student | str | Path,
    tasks: Mapping[str, SequenceTask],
    *,
    length: int | Mapping[str, int] | None = None,
    seconds: float | None = None,
    steps: int | None = None,
    width: int = 16,
    batch_size: int = 16,
    rate: float = 6e-3,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> Heads:
    """Train a small readout for each of several tasks on one network, whose weights stay as they are.

    ::

        heads = nounroll.adapt_many(old.student, {"tag": tags, "sentiment": reviews}, seconds=60)
        heads["tag"], heads.metrics["tag"]

    A step takes a batch of every task. Tasks that give the same inputs share their memories, which are computed once. A
    readout does not depend on the other tasks, except that they share the seconds. Ctrl-C ends the training early.

    Args:
        student: the network, or its folder, or the folder of a run. A copy of it is used.
        tasks: the task of each readout, by its name. Their inputs are of the network's space.
        length: T, in time steps, of all or of each; by default that of ``fit``.
        seconds, steps: the budget of all tasks together; 120 seconds by default.
        width: hidden width of the readouts.
        batch_size: sequences of each task in a step.
        rate: peak learning rate of AdamW.
        seed: seed of the data and the initial weights.
        stop: called after every step; True ends the training early.

    Returns:
        The readouts: of each, the one with the lowest loss in validation. Their metrics are of the test parts.

    Raises:
        ValueError: a setting is not usable, or a task does not have the network's inputs.
    """
    if seconds is not None and steps is not None:
        raise ValueError(f"seconds is {seconds} and steps is {steps}; give one of them")
    budget = Budget.from_names({"seconds": seconds, "steps": steps}, Budget("seconds", 120.0))
    at_least("width", width, 1)
    more_than("rate", rate, 0)
    settings = TrainingSettings(budget=budget, batch_size=batch_size, learning_rate=rate, seed=seed)
    heads, plans = _planned(student, tasks, length, width, seed)
    with stop_on_interrupt() as interrupted:
        _train(heads.student, plans, settings, lambda: stop() or interrupted())
    for plan in plans:
        plan.head.load_state_dict(plan.best)
        test = validation_batches(plan.task, 0, plan.length, seed, stream="test")
        found = evaluate_task(plan.task, plan.student, test)
        heads.metrics[plan.name] = {name: value for name, value in found.items() if math.isfinite(value)}
    return heads


@dataclass
class _Plan:
    """A task, its readout, and the best weights of that so far."""

    name: str
    task: SequenceTask
    length: int
    student: Student
    validation: list[Batch]
    loss: float = math.inf
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def head(self) -> nn.Module:
        return self.student.head

    def measure(self) -> None:
        """Measure the readout on the validation part, and keep it if it is the best so far."""
        loss = evaluate_task(self.task, self.student, self.validation)["loss"]
        if loss < self.loss or not self.best:
            self.loss, self.best = loss, {name: t.clone() for name, t in self.head.state_dict().items()}


def _planned(
    student: Student | str | Path,
    tasks: Mapping[str, SequenceTask],
    length: int | Mapping[str, int] | None,
    width: int,
    seed: int,
) -> tuple[Heads, list[_Plan]]:
    """Check every task against the network, and give it a new readout.

    Raises:
        ValueError: see ``adapt_many``.
    """
    if not isinstance(tasks, Mapping) or not tasks:
        raise ValueError(f"tasks is {tasks!r}; it must hold a nounroll.SequenceTask for each name")
    if isinstance(length, Mapping) and (others := [name for name in length if name not in tasks]):
        raise ValueError(f"length has {others[0]!r}, which is no task; the tasks are {', '.join(map(repr, tasks))}")
    heads, start, plans = Heads(opened_student(student)), open_start(student, None, "head"), list[_Plan]()
    for name, task in tasks.items():
        if not isinstance(task, SequenceTask):
            raise ValueError(f"task {name!r} is a {type(task).__name__}; it must be a nounroll.SequenceTask")
        if task.inputs != heads.student.inputs:
            raise ValueError(f"task {name!r} has inputs {task.inputs}, and the student {heads.student.inputs}")
        given = length.get(name) if isinstance(length, Mapping) else length
        steps, kept = usual_length(task) if given is None else given, keep(task, CUSTOM)
        tell_cut(task, steps)
        facts = start.in_its_scale(look(task, steps, seed), kept)
        one = heads.add(name, facts.targets, width, generator(seed, f"head {name}"))
        one.trained_on = kept
        plans.append(_Plan(name, task, steps, one, validation_batches(task, 0, steps, seed)))
    return heads, plans


def _train(network: Student, plans: list[_Plan], settings: TrainingSettings, stop: Callable[[], bool]) -> None:
    """Train all readouts until the budget is spent."""
    optimizer = torch.optim.AdamW(
        [{"params": list(plan.head.parameters())} for plan in plans], weight_decay=settings.weight_decay
    )
    budget, begun, step, measured = settings.budget, time.perf_counter(), 0, 0
    while (now := (step if budget.kind == "steps" else time.perf_counter() - begun) / budget.amount) < 1:
        if now >= (measured + 1) / _EVALUATIONS:
            measured = int(now * _EVALUATIONS)
            for plan in plans:
                plan.measure()
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate(settings, now)
        optimizer.zero_grad(set_to_none=True)
        for plan, features, batch in _read(network, plans, settings, step):
            _differentiate(plan, features, batch)
        optimizer.step()
        step += 1
        if stop():
            notice(f"stopped after {step:,} steps of each task")
            break
    for plan in plans:
        plan.measure()


def _read(
    network: Student, plans: list[_Plan], settings: TrainingSettings, step: int
) -> Iterator[tuple[_Plan, Float[Tensor, "B T F"], Batch]]:
    """Yield a batch of every task with what its readout sees. Batches of equal inputs are read once."""
    left = [(one, training_batch(one.task, settings.batch_size, one.length, settings.seed, step)) for one in plans]
    while left:
        first, same = left[0][1], [_reads_the_same(batch, left[0][1]) for _, batch in left]
        with torch.no_grad():
            features, _ = network.features(first.inputs, resets=first.resets)
        yield from ((plan, features, batch) for (plan, batch), one in zip(left, same, strict=True) if one)
        left = [entry for entry, one in zip(left, same, strict=True) if not one]


def _reads_the_same(batch: Batch, other: Batch) -> bool:
    """Return whether two batches have the same inputs and resets."""
    if batch.inputs is not other.inputs and not torch.equal(batch.inputs, other.inputs):
        return False
    pair = (batch.resets, other.resets)
    return pair == (None, None) if None in pair else torch.equal(*pair)  # type: ignore[arg-type]


def _differentiate(plan: _Plan, features: Float[Tensor, "B T F"], batch: Batch) -> None:
    """Compute the gradients of a readout; none if they are not finite."""
    loss = readout_loss(plan.head, plan.student.targets, features, batch.targets, batch.mask)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(plan.head.parameters(), _CLIP)
    if not (loss.isfinite() and norm.isfinite()):
        fault = f"its loss was {loss.item():g} and its gradient {norm.item():g}"
        notice(f"head {plan.name}: a step was skipped, because {fault}")
        plan.head.zero_grad(set_to_none=True)
