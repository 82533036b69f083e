"""A network is carried on to another task, and keeps what it knew."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import same_state
from nounroll import Categorical, Real, Student, adapt, fit
from nounroll.core.batch import Batch
from nounroll.data.task import SequenceTask
from nounroll.experiments.recipe import parse
from nounroll.experiments.rehearsal import OwnWriting, with_rehearsal
from nounroll.experiments.run import Run, train
from nounroll.experiments.warm_start import open_start
from nounroll.methods import adapt as method_file
from nounroll.nn.low_rank import LowRank
from nounroll.objectives.divergence import divergence
from nounroll.rollout.forgetting import forgetting
from own_parts import OwnCell

SMALL: dict[str, Any] = {"cell.tokens": 2, "cell.memory_width": 8, "readout_width": 16}
LOOP: dict[str, Any] = {"training.batch_size": 4, "training.evaluations": 2}
HOW: dict[str, Any] = {"length": 8, "settings": LOOP}


class Steps(SequenceTask):
    """Symbols that go up by a number: the next is the target."""

    inputs = targets = Categorical(7)
    autoregressive = True

    def __init__(self, by: int) -> None:
        self.by = by

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        first = torch.randint(7, (batch_size, 1), generator=generator)
        return Batch.next_step((first + self.by * torch.arange(length + 1)) % 7)


class Halves(Steps):
    """The same inputs, and whether each is large."""

    targets = Categorical(2)
    autoregressive = False

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = super().sample(batch_size, length, generator).inputs
        return Batch(x, (x > 3).long())


@pytest.fixture(scope="module")
def old() -> Run:
    return fit(Steps(1), method="bptt", cell="gru", length=8, steps=150, settings=SMALL | LOOP)


def weights(student: Student) -> dict[str, Tensor]:
    return student.state_dict()


# --- what it is held to --------------------------------------------------------------------------------


def test_without_anchor_and_rehearsal_it_is_bptt(old: Run) -> None:
    settings = {**LOOP, "training.learning_rate": 1e-3, "training.curriculum": 0}
    plain = fit(Steps(2), student=old.student, method="bptt", length=8, steps=6, settings=settings)
    run = adapt(old.student, Steps(2), anchor=0, rehearse=0.0, length=8, steps=6, settings=settings)
    assert same_state(weights(run.student), weights(plain.student))


def test_an_anchored_network_keeps_what_it_knew(old: Run) -> None:
    """The control lets go: it forgets."""
    how: dict[str, Any] = {"length": 8, "steps": 60, "settings": {**LOOP, "training.learning_rate": 6e-3}}
    free = adapt(old.student, Steps(2), anchor=0, rehearse=0.0, **how)
    held = adapt(old.student, Steps(2), anchor=3.0, rehearse=(Steps(1), 0.5), **how)
    batches = [Steps(1).sample(64, 8, torch.Generator().manual_seed(5))]
    lost = forgetting(old.student, free.student, batches, same_readout=True)
    kept = {name: held.metrics[name] for name in ("old_loss_before", "old_loss", "memory_change")}
    assert lost["old_loss"] > lost["old_loss_before"] + 0.5
    assert kept["old_loss"] < kept["old_loss_before"] + 0.2
    assert kept["memory_change"] < lost["memory_change"]
    assert held.metrics["loss"] < math.log(7)


def test_without_steps_nothing_is_forgotten(old: Run) -> None:
    run = adapt(old.student, Steps(2), rehearse=Steps(1), length=8, steps=0, settings=LOOP)
    assert run.metrics["memory_change"] == 0
    assert run.metrics["old_loss"] == run.metrics["old_loss_before"]


@pytest.mark.parametrize(("update", "part"), [("readout", "head."), ("start", "empty_memory")])
def test_a_part_alone_learns(old: Run, update: Any, part: str) -> None:
    run = adapt(old.student, Steps(2), update=update, steps=4, **HOW)
    before, after = weights(old.student), weights(run.student)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(part) for name in changed)
    assert all(parameter.requires_grad for parameter in run.student.parameters())


def ranks_of_change(before: Student, after: Student) -> dict[str, int]:
    """Rank of the change of each matrix of the cell; of other weights, 99 where they have changed."""
    changes = {name: t - weights(before)[name] for name, t in weights(after).items() if not name.startswith("head.")}
    return {
        name: int(torch.linalg.matrix_rank(t)) if t.dim() == 2 and name.startswith("cell.") else 99 * bool(t.any())
        for name, t in changes.items()
    }


@pytest.mark.parametrize(("update", "least", "most"), [("low-rank", 1, 8), ("all", 9, 99)])
def test_matrices_change_by_a_low_rank_alone(old: Run, update: str, least: int, most: int) -> None:
    """With "all", the control, they change by more."""
    run = adapt(old.student, Steps(2), update=update, anchor=0, rehearse=0.0, steps=12, **HOW)
    ranks = ranks_of_change(old.student, run.student)
    assert list(ranks) == [name for name in weights(old.student) if not name.startswith("head.")]
    assert least <= max(ranks.values()) <= most
    assert not torch.equal(run.student.head.out.weight, old.student.head.out.weight)
    assert all(parameter.requires_grad for parameter in run.student.parameters())
    assert not any(isinstance(part, LowRank) for part in run.student.modules())


def test_without_steps_a_low_rank_update_is_nothing(old: Run) -> None:
    run = adapt(old.student, Steps(2), update="low-rank", rehearse=Steps(1), length=8, steps=0, settings=LOOP)
    assert same_state(weights(run.student), weights(old.student))
    assert run.metrics["memory_change"] == 0


def test_an_own_cell_has_a_low_rank_update_and_stays_itself(tmp_path: Path) -> None:
    cell = OwnCell(7, 16)
    first = fit(Steps(1), method="bptt", cell=cell, length=8, steps=3, settings=LOOP)
    run = adapt(first.student, Steps(2), update="low-rank", rehearse=0.25, steps=6, out=tmp_path / "run", **HOW)
    assert type(run.student.cell) is OwnCell
    assert 1 <= max(ranks_of_change(first.student, run.student).values()) <= 8
    saved = Student.from_pretrained(tmp_path / "run" / "student", cell=OwnCell(7, 16))
    assert same_state(weights(saved), weights(run.student))


def test_an_own_cell_has_no_update_left_after_a_failure() -> None:
    cell = OwnCell(7, 16)
    start = open_start(fit(Steps(1), method="bptt", cell=cell, length=8, steps=1, settings=LOOP).student, None)
    overrides = {"adapt.update": "low-rank", "adapt.rehearse": 0.0, **LOOP}
    recipe = parse({"task": {"kind": "custom"}, "length": 8, "method": "adapt", "training": {"steps": 6}}, overrides)
    steps = iter([False, False])
    with pytest.raises(StopIteration):  # of the function that is asked whether to stop
        train(start.applied(recipe), Steps(2), cell, start=start, stop=lambda: next(steps))
    assert list(cell.state_dict()) == list(OwnCell(7, 16).state_dict())


def test_a_new_readout_is_learnt_on_memories_that_are_held(old: Run) -> None:
    settings = {**LOOP, "training.learning_rate": 6e-3}
    run = adapt(old.student, Halves(1), anchor=10.0, rehearse=(Steps(1), 0.25), length=8, steps=120, settings=settings)
    assert run.student.targets == Categorical(2)
    assert run.metrics["accuracy"] > 0.9
    assert run.metrics["memory_change"] < 0.1
    assert "old_loss" not in run.metrics
    first = adapt(old.student, Steps(2), head="new", steps=0, rehearse=Steps(1), length=8, settings=LOOP)
    assert not torch.equal(first.student.head.out.weight, old.student.head.out.weight)


def test_losses_are_weighed_as_they_are_said_to_be(old: Run) -> None:
    settings = method_file.AdaptSettings(anchor=0.5, rehearse=0.25)
    method = method_file.Adapt(old.student, old.student, settings, Steps(1), keeps_readout=True)
    batch = Steps(2).sample(4, 8, torch.Generator().manual_seed(0))
    losses, state_ = method(batch, {}, torch.Generator().manual_seed(1), 0.5)
    assert losses["memory"] == losses["prediction"] == 0  # it is itself
    assert not state_
    torch.testing.assert_close(losses["loss"], 0.75 * losses["readout"] + 0.25 * losses["rehearsed"])


# --- old sequences -------------------------------------------------------------------------------------


def test_a_network_writes_its_own_old_sequences(old: Run) -> None:
    written = OwnWriting(old.student, Steps(2))
    batch, again = (written.sample(3, 8, torch.Generator().manual_seed(seed)) for seed in (0, 0))
    assert torch.equal(batch.inputs, again.inputs)
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    assert bool(batch.mask.all())
    steps = (batch.targets - batch.inputs) % 7
    assert float((steps[:, 1:] == 1).float().mean()) > 0.8  # as the old task goes, and not the new one
    assert torch.equal(written.sample(3, 1, torch.Generator().manual_seed(0)).inputs, batch.inputs[:, :1])


def test_rehearsal_of_its_own_writing_keeps_the_old_task(old: Run) -> None:
    run = adapt(old.student, Steps(2), anchor=3.0, rehearse=0.5, steps=20, **HOW)
    batches = [Steps(1).sample(64, 8, torch.Generator().manual_seed(5))]
    figures = forgetting(old.student, run.student, batches, same_readout=True)
    assert figures["old_loss"] < figures["old_loss_before"] + 0.3


# --- runs ----------------------------------------------------------------------------------------------


def resumed(
    task: SequenceTask, student: Student, folder: Path, rehearse: SequenceTask | None, update: str, stop_at: int
) -> Run:
    """A run that is stopped after so many steps, and goes on."""
    overrides = {"adapt.rehearse": 0.25, "adapt.update": update, "cell.kind": "gru", **SMALL, **LOOP}
    recipe = parse({"task": {"kind": "custom"}, "length": 8, "method": "adapt", "training": {"steps": 6}}, overrides)
    start = with_rehearsal(open_start(student, None), rehearse)
    assert start is not None
    steps = iter(range(1, 100))
    first = train(recipe, task, start=start, folder=folder, stop=lambda: next(steps) == stop_at)
    assert not first.finished
    return train(recipe, task, start=start, folder=folder, resume=True)


@pytest.mark.parametrize(
    ("rehearse", "update"),
    [(Steps(1), "all"), (None, "all"), (Steps(1), "low-rank")],
    ids=["the old task", "its own writing", "a low rank"],
)
def test_an_adapted_run_is_resumed_exactly(
    old: Run, tmp_path: Path, rehearse: SequenceTask | None, update: str
) -> None:
    old_one = 0.25 if rehearse is None else (rehearse, 0.25)
    whole = adapt(old.student, Steps(2), steps=6, rehearse=old_one, update=update, **HOW)
    run = resumed(Steps(2), old.student, tmp_path / "run", rehearse, update, stop_at=3)
    assert run.metrics["steps"] == 6
    assert same_state(weights(run.student), weights(whole.student))
    assert run.metrics["memory_change"] == whole.metrics["memory_change"]


def test_what_is_left_out_of_a_resumed_adaptation_is_the_runs(old: Run, tmp_path: Path) -> None:
    adapt(old.student, Steps(2), update="low-rank", steps=2, out=tmp_path, **HOW)
    run = adapt(old.student, Steps(2), steps=1, out=tmp_path, resume=True)
    assert run.recipe.adapt.update == "low-rank"
    with pytest.raises(ValueError, match=r"^adapt.update is 'all', and .* is trained with 'low-rank'; leave it out"):
        adapt(old.student, Steps(2), update="all", steps=1, out=tmp_path, resume=True)


def test_a_resumed_adaptation_does_not_ignore_what_is_given(old: Run, tmp_path: Path) -> None:
    adapt(old.student, Steps(2), steps=2, out=tmp_path, **HOW)
    with pytest.raises(ValueError, match=r"^new is \['head'\], and the run in .* began with \[\]; leave it out$"):
        adapt(old.student, Steps(2), head="new", steps=1, out=tmp_path, resume=True)
    with pytest.raises(ValueError, match=r"^rehearse is given, and the run in .* began without an old task; leave it"):
        adapt(old.student, Steps(2), rehearse=Steps(1), steps=1, out=tmp_path, resume=True)


def test_the_old_task_must_be_given_again(old: Run, tmp_path: Path) -> None:
    adapt(old.student, Steps(2), rehearse=Steps(1), steps=2, out=tmp_path / "run", **HOW)
    with pytest.raises(
        ValueError, match=r"^the run rehearses Steps, a task of your own; give it again: rehearse=task$"
    ):
        fit(Steps(2), method="adapt", out=tmp_path / "run", resume=True, **HOW)


def test_mistakes(old: Run) -> None:
    class Numbers(SequenceTask):
        inputs = targets = Real(1)

        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
            return Batch.next_step(torch.randn(batch_size, length + 1, 1, generator=generator))

    student = old.student
    with pytest.raises(ValueError, match=r"^method is 'adapt'; it begins with a trained student"):
        fit(Steps(2), method="adapt", cell="gru", steps=2, **HOW)
    with pytest.raises(ValueError, match=r"^rehearse is given, but student is not"):
        fit(Steps(2), rehearse=Steps(1), steps=2, **HOW)
    with pytest.raises(ValueError, match=r"^rehearse is given and method is 'bptt'; only adapt rehearses$"):
        fit(Steps(2), student=student, rehearse=Steps(1), method="bptt", steps=2, **HOW)
    with pytest.raises(ValueError, match=r"^rehearse has inputs Real"):
        adapt(student, Steps(2), rehearse=Numbers(), steps=2, **HOW)
    with pytest.raises(
        ValueError, match=r"^adapt\.rehearse is 0\.25, no old task is given, and the student cannot write"
    ):
        adapt(student, Halves(1), steps=2, **HOW)
    with pytest.raises(ValueError, match=r"^adapt\.rehearse is 1\.0; it must be less than 1$"):
        adapt(student, Steps(2), rehearse=1.0, steps=2, **HOW)
    with pytest.raises(ValueError, match=r"^adapt\.anchor is -1"):
        adapt(student, Steps(2), anchor=-1, steps=2, **HOW)
    with pytest.raises(ValueError, match=r"^head is 'old'; it must be 'keep' or 'new'$"):
        adapt(student, Steps(2), head="old", steps=2, **HOW)
    begun = {"student": student, "new": "inputs", "method": "adapt"}
    with pytest.raises(ValueError, match=r"^adapt\.anchor is 0\.7 and the input table begins anew"):
        fit(Steps(2), **begun, steps=2, **HOW)


# --- the divergence ------------------------------------------------------------------------------------


def test_divergence_of_symbols_is_the_sum() -> None:
    outputs, expected = torch.randn(2, 3, 7, requires_grad=True), torch.randn(2, 3, 7, requires_grad=True)
    found = divergence(Categorical(7), outputs, expected)
    p, q = outputs.softmax(-1), expected.detach().softmax(-1)
    torch.testing.assert_close(found, (q * (q / p).log()).sum(-1))
    found.sum().backward()
    assert outputs.grad is not None
    assert expected.grad is None


def test_divergence_of_numbers_is_right_on_average() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, expected = torch.tensor([0.5, 0.2]).expand(20_000, 2), torch.tensor([0.0, -0.3]).expand(20_000, 2)
    found = divergence(Real(1), outputs, expected, generator)
    ratio = math.exp(-0.3) / math.exp(0.2)
    exact = -math.log(ratio) + (ratio**2 + (0.5 / math.exp(0.2)) ** 2 - 1) / 2
    assert float(found.mean()) == pytest.approx(exact, abs=0.02)
    assert float(divergence(Real(1), outputs, outputs, generator).abs().max()) == 0
