"""Evaluation on held-out sequences: of a student, by rollouts from m_∅, and of its baselines and teacher."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from nounroll.cells.base import observe
from nounroll.core.batch import Batch, Space, each_part
from nounroll.core.precision import wide
from nounroll.data.task import SequenceTask, held_out
from nounroll.models.student import Student
from nounroll.objectives.dynamics import dynamics
from nounroll.rollout.chunks import at_once, by_rows, by_times, parts
from nounroll.rollout.transformer import CausalTransformer

_STEPS, _FEWEST, _MOST = 2**13, 8, 64  # time steps drawn for an evaluation, and bounds on its sequences
_ANSWERS, _LONGER = 32, 4  # fewest scored targets of an evaluation, and the factor on its time steps for their sake
_WHOLE = 2**18  # largest number of time steps of a finite part
_TESTED = 8  # factor on the number of sequences for the final metrics
KeptLabels: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor | None]]  # ``Teacher.kept``
FROM_EMPTY = "_from_empty"  # suffix of the names of metrics


def validation_batches(
    task: SequenceTask, sequences: int, length: int, seed: int, stream: str = "validation"
) -> list[Batch]:
    """Draw the held-out batches of a run: the same for every method, cell and time of training.

    Args:
        task: source of the sequences: its validation part; or for the stream "test" its test part, which no choice
            uses.
        sequences: number of sequences. 0 takes a whole finite part, up to 262,144 time steps; of an endless part 64
            sequences, or fewer (at least 8) if they are longer than 128 steps, up to four times as many if they have
            fewer than 32 scored targets. The stream "test" takes eight times as many.
        length: T.
        seed, stream: seed and stream of the draws.
    """
    test = stream == "test"
    part, times = task.test() if test else task.validation(), _TESTED if test else 1
    if part.size is not None:
        sequences = min(part.size, sequences or max(_FEWEST, times * _WHOLE // length))
    if sequences or part.size is not None:
        return list(held_out(part, sequences, length, seed, stream))
    rows = min(_MOST, max(_FEWEST, _STEPS // length))
    found = list(held_out(part, rows, length, seed, stream))
    scored = sum(int(batch.mask.sum()) for batch in found)
    wanted = math.ceil(rows * _ANSWERS / scored) if scored else rows
    count = times * max(rows, min(wanted, _LONGER * _STEPS // length))
    return found if count == rows else list(held_out(part, count, length, seed, stream))


@torch.no_grad()
def evaluate(
    model: Student | CausalTransformer,
    batches: list[Batch],
    labels: KeptLabels | None = None,
    *,
    carry: bool = False,
) -> dict[str, float]:
    """Measure a student on its own rollouts, or the Transformer baseline.

    Args:
        model: the model; a student is rolled out from m_∅, and again from m_∅ at each reset.
        batches: held-out sequences.
        labels: the teacher's ``kept``; with them, drift is measured too.
        carry: each batch continues where the one before ended, with the student's memories.

    Returns:
        loss: nats per scored element; bits: the same in bits; and the metrics of the targets' space
        (``Space.metrics``). accuracy: share of scored elements whose most likely symbol is right, or of correct bits;
        rmse: root mean squared error of the mean; for positive numbers also rmse_log, that of their logarithms. Loss,
        bits and rmse are in the unit of the data; rmse_standardised and loss_standardised, for real targets with a
        scale, have no unit. The parts of a product have metrics of their own, such as "gap.loss".
        All of these are nan if nothing is scored.
        drift: mean squared distance of the student's memories from the teacher's, over the coordinates that are kept
            for later steps (with ``labels``).
    """
    score, drift, device = _Score(model.targets), 0.0, next(model.parameters()).device
    held: dict[int, Tensor] = {}  # carried memories, by the first row of each part
    for batch, row in ((part.to(device), row) for whole in batches for row, part in _parts(whole, model)):
        if isinstance(model, CausalTransformer):
            score.add(batch, each_part(model.states, batch), model.out)
            continue
        start = held.get(row) if carry else None
        more, held[row] = _add_rollout(score, model, batch, start, None if labels is None else _kept(labels, batch))
        drift += more
    metrics = score.metrics()
    if labels is not None:
        metrics["drift"] = drift / max(sum(b.batch_size * b.length for b in batches), 1)
    return metrics


def evaluate_task(
    task: SequenceTask,
    model: Student | CausalTransformer,
    batches: list[Batch],
    labels: KeptLabels | None = None,
) -> dict[str, float]:
    """Run ``evaluate`` in the task's reading order: through a stream, the student's memory is carried.

    For a stream, metrics from m_∅ in each batch are added, with the suffix ``_from_empty``. Drift and the teacher's
    metrics are always measured from m_∅.
    """
    found = evaluate(model, batches, labels)
    if not task.stream or not isinstance(model, Student):
        return found
    drift = {name: found.pop(name) for name in ("drift",) if name in found}
    anew = {f"{name}{FROM_EMPTY}": value for name, value in found.items()}
    return evaluate(model, batches, carry=True) | drift | anew


def _parts(batch: Batch, model: Student | CausalTransformer) -> Iterator[tuple[int, Batch]]:
    """Yield parts of whole sequences of a batch, and the index of the first row of each."""
    row = 0
    for part in by_rows(batch, numbers_of(model)):
        yield row, part
        row += part.batch_size


def _add_rollout(
    score: "_Score",
    student: Student,
    batch: Batch,
    memory: Tensor | None,
    labels: tuple[Float[Tensor, "B T K d"], Bool[Tensor, "K d"] | None] | None,
) -> tuple[float, Float[Tensor, "B K d"]]:
    """Add a student's rollout to the sums, one part of the time after another.

    Returns:
        The sum of its drift from the labels, if there are any; the memory after the rollout.
    """
    drift, start = 0.0, 0
    for part in by_times(batch, numbers_of(student)):
        if labels is None:
            features, memory = student.features(part.inputs, memory, part.resets)
        else:
            memories = student.rollout(part.inputs, memory, part.resets)[:, 1:]
            features, memory = observe(student.cell, memories), memories[:, -1]
            away = dynamics(memories, labels[0][:, start : start + part.length], labels[1])
            drift += float(wide(away).sum())
        score.add(part, features, student.head)
        start += part.length
    assert memory is not None
    return drift, memory


def _kept(labels: KeptLabels, batch: Batch) -> tuple[Float[Tensor, "B T K d"], Bool[Tensor, "K d"] | None]:
    """Return the labels after each input, and which of their coordinates are kept."""
    masks = []

    def after(inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "B T K d"]:
        found, kept = labels(inputs)
        masks.append(kept)
        return found[:, 1:]

    return each_part(after, batch), masks[-1]


def _labels(labels: Callable[[Tensor], Tensor], batch: Batch) -> Float[Tensor, "B T K d"]:
    """Return the labels after each input."""
    return each_part(lambda inputs: labels(inputs)[:, 1:], batch)


def numbers_of(model: Student | CausalTransformer) -> int:
    """Count the numbers that an evaluation holds for each time step of a sequence: a lower bound."""
    return math.prod(model.memory_shape) if isinstance(model, Student) else model.settings.width


def held_at_once(model: Student | CausalTransformer, length: int) -> int:
    """Count the numbers that an evaluation holds at once, a lower bound: memories, outputs, log-probabilities."""
    numbers, size = numbers_of(model), model.targets.readout_size
    rows = min(_FEWEST, at_once(numbers * length))
    steps = min(length, at_once(numbers * rows))
    return rows * steps * numbers + 2 * size * min(rows * steps, at_once(size))


@torch.no_grad()
def evaluate_teacher(student: Student, batches: list[Batch], labels: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """Measure a teacher: the student's own readout on the teacher's memories of the same sequences.

    Args:
        student: source of the readout.
        batches: held-out sequences.
        labels: the teacher's ``memories``.

    Returns:
        Metrics as in ``evaluate``. A student with a lower loss has passed its teacher.
    """
    score, device = _Score(student.targets), student.empty_memory.device
    for batch in (part.to(device) for whole in batches for part in by_rows(whole, numbers_of(student))):
        score.add(batch, observe(student.cell, _labels(labels, batch)), student.head)
    return score.metrics()


def constant_guess(targets: Space, batches: list[Batch]) -> dict[str, float]:
    """Measure the best prediction without inputs, fitted to these targets: the level of chance.

    Returns:
        Metrics as in ``evaluate`` (``Space.guess``): for example of the symbols' shares, or of a Gaussian with the mean
        and variances of real values. Empty if nothing is scored.
    """
    scored = torch.cat([batch.targets[batch.mask] for batch in batches])
    return targets.guess(scored) if len(scored) else {}


def knowable(targets: Space, batches: list[Batch]) -> float:
    """Nats per scored element that can be learnt: the unit of all thresholds on losses (``Space.knowable``)."""
    return targets.knowable(torch.cat([batch.targets[batch.mask] for batch in batches]))


class _Score:
    """Sums over the scored elements."""

    def __init__(self, targets: Space) -> None:
        self.targets = targets
        self.loss, self.scored = 0.0, 0
        self.sums: defaultdict[str, float] = defaultdict(float)

    def add(self, batch: Batch, features: Float[Tensor, "B T F"], head: nn.Module) -> None:
        """Add the head's outputs for the features of scored elements."""
        seen, targets = features[batch.mask], batch.targets[batch.mask]
        for outputs, wanted in parts(head, self.targets, seen, targets):
            self.loss += float(-wide(self.targets.log_prob(outputs, wanted)).sum())
            for name, errors in self.targets.errors(outputs, wanted).items():
                self.sums[name] += float(wide(errors).sum())
        self.scored += len(targets)

    def metrics(self) -> dict[str, float]:
        scored = self.scored or math.nan  # without scored elements there is no metric; 0 would look perfect
        loss = self.loss / scored
        return {"loss": loss, "bits": loss / math.log(2), **self.targets.metrics(self.sums, scored, loss)}
