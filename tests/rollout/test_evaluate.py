"""Figures of a student against figures counted one element at a time."""

import math

import pytest
import torch

from helpers import draw_values, make_student, make_teacher
from nounroll.core.batch import Batch, Categorical, Real
from nounroll.data.parity import Parity
from nounroll.data.retrieval import Retrieval
from nounroll.data.stack import Stack
from nounroll.data.task import SequenceTask
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.rollout.evaluate import constant_guess, evaluate, evaluate_teacher, knowable, validation_batches
from own_parts import Echo, RunningMean


@torch.no_grad()
def test_symbols_by_hand() -> None:
    task = Retrieval(values=3)
    student = make_student(inputs=task.inputs, targets=task.targets, dtype=torch.float32)
    teacher = make_teacher(student, dtype=torch.float32)
    batches = validation_batches(task, 70, 8, seed=3)
    assert [batch.batch_size for batch in batches] == [64, 6]
    metrics = evaluate(student, batches, teacher.kept)
    losses, hits, drift = [], [], []
    for batch in batches:
        memories, labels = student.stepped_rollout(batch.inputs), teacher.memories(batch.inputs)
        drift += [((memories[:, t + 1] - labels[:, t + 1]) ** 2).mean((1, 2)) for t in range(8)]
        for b, t in batch.mask.nonzero().tolist():
            log_likelihood = student.readout(memories[b, t + 1]).log_softmax(-1)
            losses.append(-float(log_likelihood[batch.targets[b, t]]))
            hits.append(float(log_likelihood.argmax() == batch.targets[b, t]))
    assert len(losses) == 70
    assert metrics["loss"] == pytest.approx(sum(losses) / 70, rel=1e-5)
    assert metrics["bits"] == pytest.approx(metrics["loss"] / math.log(2))
    assert metrics["accuracy"] == pytest.approx(sum(hits) / 70)
    assert metrics["drift"] == pytest.approx(float(torch.cat(drift).mean()), rel=1e-5)
    assert "rmse" not in metrics


@torch.no_grad()
def test_real_targets_by_hand() -> None:
    task = RunningMean()
    student = make_student("gru", task.inputs, task.targets, dtype=torch.float32)
    (batch,) = validation_batches(task, 5, 6, seed=0)
    metrics = evaluate(student, [batch])
    means = student.readout(student.rollout(batch.inputs)[:, 1:])[..., :2]
    assert metrics["rmse"] == pytest.approx(float((means - batch.targets).square().mean().sqrt()), rel=1e-5)
    assert metrics.keys() == {"loss", "bits", "rmse"}


@pytest.mark.parametrize("task", [Retrieval(values=3), Stack(), RunningMean()], ids=lambda task: type(task).__name__)
def test_no_constant_guess_is_better(task: SequenceTask) -> None:
    batches = validation_batches(task, 70, 8, seed=3)
    seen = torch.cat([batch.targets[batch.mask] for batch in batches])
    if isinstance(task.targets, Categorical):
        best = (seen.bincount(minlength=task.targets.n) / len(seen)).log().clamp(min=-50)
    else:
        best = torch.cat([seen.mean(0), seen.std(0, correction=0).log()])

    def loss(guess: torch.Tensor) -> float:
        return float(negative_log_likelihood(task.targets, guess.expand(len(seen), -1), seen).mean())

    found = constant_guess(task.targets, batches)["loss"]
    assert found == pytest.approx(loss(best), rel=1e-3)  # a log standard deviation is held within limits, softly
    generator = torch.Generator().manual_seed(0)
    assert all(loss(best + 0.3 * torch.randn(best.shape, generator=generator)) > found for _ in range(20))


def test_a_constant_guess_of_symbols() -> None:
    y = torch.tensor([[0, 0, 1, 2]])
    batch = Batch(y, y, torch.tensor([[True, True, True, False]]))
    found = constant_guess(Categorical(3), [batch])
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["loss"] == pytest.approx(-(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3)))


def test_a_constant_guess_of_numbers() -> None:
    y = draw_values(Real(2), 200, 20).float() * torch.tensor([1.0, 3.0])
    found = constant_guess(Real(2), [Batch(y, y)])
    assert found["rmse"] == pytest.approx(math.sqrt((1 + 9) / 2), rel=0.05)
    assert found["loss"] == pytest.approx(math.log(3) + math.log(2 * math.pi * math.e), rel=0.02)


def test_there_is_no_guess_where_nothing_is_scored() -> None:
    y = torch.zeros(2, 3, dtype=torch.int64)
    assert constant_guess(Categorical(3), [Batch(y, y, y.bool())]) == {}


def test_what_there_is_to_know_of_symbols_is_the_loss_of_the_best_guess() -> None:
    batches = validation_batches(Stack(), 70, 8, seed=3)
    assert knowable(Stack().targets, batches) == constant_guess(Stack().targets, batches)["loss"]


def test_what_there_is_to_know_of_numbers_is_one_nat_a_coordinate_in_any_unit() -> None:
    y = draw_values(Real(3), 20, 5).float()
    for scale in (1.0, 1e-3):
        assert knowable(Real(3), [Batch(scale * y, scale * y)]) == 3.0


@pytest.mark.parametrize("scored", [True, False])
def test_there_is_always_something_to_know(scored: bool) -> None:
    """Thresholds are divided by it, and one symbol alone, or none that is scored, has a loss of 0."""
    y = torch.zeros(2, 3, dtype=torch.int64)
    assert knowable(Categorical(3), [Batch(y, y, torch.full_like(y, scored, dtype=torch.bool))]) == 1e-3


def test_a_teacher_is_read_by_the_students_readout() -> None:
    task = Echo()
    student = make_student(inputs=task.inputs, targets=task.targets, dtype=torch.float32)
    batches = validation_batches(task, 70, 6, seed=0)
    assert evaluate_teacher(student, batches, student.rollout) == evaluate(student, batches)
    teacher = make_teacher(student, dtype=torch.float32)
    found = evaluate_teacher(student, batches, teacher.memories)
    assert found.keys() == {"loss", "bits", "accuracy"}
    assert found != evaluate(student, batches)


def test_a_batch_cut_in_two_gives_the_same_figures() -> None:
    task = Echo()
    student = make_student(inputs=task.inputs, targets=task.targets, dtype=torch.float32)
    (batch,) = validation_batches(task, 10, 6, seed=0)
    assert evaluate(student, [batch.rows(0, 3), batch.rows(3, 10)]) == pytest.approx(evaluate(student, [batch]))


def test_nothing_scored_is_no_figure() -> None:
    batch = Batch(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3) > 0)
    assert math.isnan(evaluate(make_student(), [batch])["loss"])


def test_validation_is_held_out_and_the_same_for_everyone() -> None:
    class Split(SequenceTask):
        inputs = targets = Categorical(2)

        def __init__(self, symbol: int) -> None:
            self.symbol = symbol

        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
            x = torch.full((batch_size, length), self.symbol)
            return Batch(inputs=x, targets=x)

        def validation(self) -> "Split":
            return Split(1)

    assert all(batch.inputs.eq(1).all() for batch in validation_batches(Split(0), 3, 4, seed=0))
    one, same = validation_batches(Parity(), 80, 9, seed=1), validation_batches(Parity(), 80, 9, seed=1)
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(one, same, strict=True))
    for seed, stream in ((2, "validation"), (1, "test")):
        (other, _) = validation_batches(Parity(), 80, 9, seed=seed, stream=stream)
        assert not torch.equal(one[0].inputs, other.inputs)


@pytest.mark.parametrize(("length", "count"), [(4, 64), (128, 64), (256, 32), (1024, 8), (4096, 8)])
def test_held_out_sequences_are_as_many_as_suit_their_length(length: int, count: int) -> None:
    assert sum(batch.batch_size for batch in validation_batches(Echo(), 0, length, seed=0)) == count
    assert sum(batch.batch_size for batch in validation_batches(Echo(), 0, length, seed=0, stream="test")) == 8 * count


@pytest.mark.parametrize(
    ("task", "length", "rows"),
    [
        (Retrieval(), 256, 32),
        (Retrieval(), 512, 32),
        (Retrieval(), 1024, 32),
        (Retrieval(), 4096, 8),
        (Parity(), 1024, 8),
    ],
)
def test_few_scored_targets_are_judged_by_more_sequences(task: SequenceTask, length: int, rows: int) -> None:
    batches = validation_batches(task, 0, length, seed=0)
    assert sum(batch.batch_size for batch in batches) == rows
    assert sum(batch.batch_size for batch in validation_batches(task, 0, length, seed=0, stream="test")) == 8 * rows
    assert sum(batch.batch_size for batch in validation_batches(task, 5, length, seed=0)) == 5
