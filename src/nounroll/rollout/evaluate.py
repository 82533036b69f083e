"""How well a student does alone: rollouts from m_∅ on held-out sequences. And its rivals, on the same ones."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nounroll.batch import Batch, Categorical, Real, Space
from nounroll.cells.base import observe
from nounroll.data.task import SequenceTask, held_out
from nounroll.objectives.dynamics import dynamics
from nounroll.objectives.readout import gaussian
from nounroll.rollout.chunks import at_once, by_rows, by_times, scores
from nounroll.student import Student
from nounroll.transformer import CausalTransformer

_STEPS, _FEWEST, _MOST = 2**13, 8, 64  # time steps that are drawn for an evaluation, and bounds on its sequences
_WHOLE = 2**18  # time steps of a finite part that are looked at
_SMALLEST = 1e-18  # value whose guess is told from 0
_TESTED = 8  # times as many for the last figures


def validation_batches(
    task: SequenceTask, sequences: int, length: int, seed: int, stream: str = "validation"
) -> list[Batch]:
    """The held-out batches of a run: the same for every method, cell and moment of training.

    Args:
        task: its validation part is drawn from; its test part for the stream "test", by which nothing is chosen.
        sequences: how many. 0 takes all of a finite part, up to 262,144 time steps of it; and of an endless one 64
            sequences, fewer where they are longer than 128 steps, 8 at least. For the stream "test" eight times these.
        length: T.
        seed, stream: of the draws.
    """
    test = stream == "test"
    part, times = task.test() if test else task.validation(), _TESTED if test else 1
    if part.size is not None:
        sequences = min(part.size, sequences or max(_FEWEST, times * _WHOLE // length))
    return list(held_out(part, sequences or times * min(_MOST, max(_FEWEST, _STEPS // length)), length, seed, stream))


@torch.no_grad()
def evaluate(
    model: Student | CausalTransformer, batches: list[Batch], labels: Callable[[Tensor], Tensor] | None = None
) -> dict[str, float]:
    """Measure a student on its own rollouts, or the Transformer baseline.

    Args:
        model: a student is rolled out from m_∅.
        batches: held-out sequences.
        labels: a teacher's ``memories``; with it, drift is measured too.

    Returns:
        loss: nats per scored element; bits: the same in bits; accuracy (Categorical): share of scored elements whose
        most likely symbol is right; rmse (Real): root mean squared error of the mean. Loss, bits and rmse are in the
        unit of the data; rmse_standardised and loss_standardised, where the targets have a scale, are without unit.
        All of these are nan where nothing is scored.
        drift: mean square distance of the student's memories to the teacher's (with ``labels``).
    """
    score, drift, device = _Score(model.targets), 0.0, next(model.parameters()).device
    for batch in (part.to(device) for whole in batches for part in by_rows(whole, numbers_of(model))):
        if isinstance(model, CausalTransformer):
            score.add(batch, model.states(batch.inputs), model.out)
        else:
            drift += _add_rollout(score, model, batch, None if labels is None else labels(batch.inputs)[:, 1:])
    metrics = score.metrics()
    if labels is not None:
        metrics["drift"] = drift / max(sum(b.batch_size * b.length for b in batches), 1)
    return metrics


def _add_rollout(score: "_Score", student: Student, batch: Batch, labels: Tensor | None) -> float:
    """Take in a student's rollout, a part of the time after another; the sum of its drift from the labels, if any."""
    drift, memory, start = 0.0, None, 0
    for part in by_times(batch, numbers_of(student)):
        if labels is None:
            features, memory = student.features(part.inputs, memory)
        else:
            memories = student.rollout(part.inputs, memory)[:, 1:]
            features, memory = observe(student.cell, memories), memories[:, -1]
            drift += float(dynamics(memories, labels[:, start : start + part.length]).double().sum())
        score.add(part, features, student.head)
        start += part.length
    return drift


def numbers_of(model: Student | CausalTransformer) -> int:
    """How many numbers an evaluation holds of each time step of a sequence, at the least."""
    return math.prod(model.memory_shape) if isinstance(model, Student) else model.settings.width


def held_at_once(model: Student | CausalTransformer, length: int) -> int:
    """How many numbers an evaluation holds together, at the least: memories, outputs and their log-probabilities."""
    numbers, size = numbers_of(model), model.targets.readout_size
    rows = min(_FEWEST, at_once(numbers * length))
    steps = min(length, at_once(numbers * rows))
    return rows * steps * numbers + 2 * size * min(rows * steps, at_once(size))


@torch.no_grad()
def evaluate_teacher(student: Student, batches: list[Batch], labels: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """Measure a teacher: the student's own readout on the teacher's memories of the same sequences.

    Args:
        student: whose readout it is.
        batches: held-out sequences.
        labels: the teacher's ``memories``.

    Returns:
        loss, bits, and accuracy or rmse, as in ``evaluate``. A student that has a lower loss is past its teacher.
    """
    score = _Score(student.targets)
    for batch in (part.to(student.empty_memory.device) for b in batches for part in by_rows(b, numbers_of(student))):
        score.add(batch, observe(student.cell, labels(batch.inputs)[:, 1:]), student.head)
    return score.metrics()


def constant_guess(targets: Space, batches: list[Batch]) -> dict[str, float]:
    """What the best answer that reads nothing gets on these very targets: the level of chance.

    Returns:
        loss, bits, and accuracy or rmse, as in ``evaluate``: of the symbols' shares (Categorical), or of a Gaussian
        with the mean and variances of the values (Real). Empty where nothing is scored.
    """
    scored = torch.cat([batch.targets[batch.mask] for batch in batches])
    if not len(scored):
        return {}
    if isinstance(targets, Categorical):
        shares = scored.bincount(minlength=targets.n).double() / len(scored)
        loss = float(torch.special.entr(shares).sum())
        return {"loss": loss, "bits": loss / math.log(2), "accuracy": float(shares.max())}
    deviations = scored.double().std(dim=0, correction=0)
    smallest = 1e-7 * scored.double().abs().amax(0).clamp(min=_SMALLEST)
    loss = float((deviations.maximum(smallest).log() + 0.5 * math.log(2 * math.pi * math.e)).sum())
    return {"loss": loss, "bits": loss / math.log(2), "rmse": float(deviations.square().mean().sqrt())}


def knowable(targets: Space, batches: list[Batch]) -> float:
    """Nats per scored element that there are to know: the measure of every threshold on losses.

    Categorical: the loss of the best constant guess. Real, whose densities have no natural zero: one nat a coordinate,
    which an error e times smaller than the guess's is worth.
    """
    if isinstance(targets, Categorical):
        return max(constant_guess(targets, batches).get("loss", 0.0), 1e-3)
    return float(targets.d)


class _Score:
    """Sums over the scored elements."""

    def __init__(self, targets: Space) -> None:
        self.targets = targets
        self.loss, self.hits, self.scored = 0.0, 0.0, 0
        self.squares = 0.0  # of standardised errors

    def add(self, batch: Batch, features: Float[Tensor, "B T F"], head: nn.Module) -> None:
        """Take in what the head makes of the features of the scored elements."""
        seen, targets = features[batch.mask], batch.targets[batch.mask]
        losses, right = scores(head, self.targets, seen, targets)
        self.loss += float(losses.double().sum())
        self.hits += float(right.double().sum())
        self.scored += len(targets)
        if isinstance(self.targets, Real) and self.targets.scale is not None:
            relative = (gaussian(head(seen))[0] - targets) / self.targets.moments(targets)[1]
            self.squares += float(relative.square().double().sum())

    def metrics(self) -> dict[str, float]:
        scored = self.scored or math.nan  # where nothing is scored there is no figure, and 0 would be a perfect one
        metrics = {"loss": self.loss / scored, "bits": self.loss / scored / math.log(2)}
        if isinstance(self.targets, Categorical):
            return {**metrics, "accuracy": self.hits / scored}
        metrics["rmse"] = math.sqrt(max(-self.hits, 0.0) / scored / self.targets.d)
        if self.targets.scale is not None:
            metrics["rmse_standardised"] = math.sqrt(self.squares / scored / self.targets.d)
            metrics["loss_standardised"] = metrics["loss"] - sum(map(math.log, self.targets.scale))
        return metrics
