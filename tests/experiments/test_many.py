"""Several tasks on one network: it is read and stored once, and each task learns as if it were alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import same_state
from nounroll import Batch, Categorical, Heads, Real, Sequences, SequenceTask, Student, adapt_many, fit
from nounroll.cells.base import CellSettings
from nounroll.core.notices import Notice
from nounroll.experiments import many
from nounroll.models.network import Network
from own_parts import OwnCell

HOW: dict[str, Any] = {"length": 8, "steps": 150, "batch_size": 8, "rate": 0.02}


class Digits(SequenceTask):
    """Random digits, and a question about the sum of the last two."""

    inputs = Categorical(7)

    def __init__(self, below: int, classes: int = 2, stream: str = "one") -> None:
        self.targets, self.below, self.stream_name = Categorical(classes), below, stream

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = torch.randint(7, (batch_size, length), generator=generator)
        x = x if self.stream_name == "one" else (x + 1) % 7
        before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
        return Batch(x, (x + before < self.below).long())


class Sums(Digits):
    """The same digits, and their sums as numbers in a large unit."""

    def __init__(self) -> None:
        super().__init__(0)
        self.targets = Real(1)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = super().sample(batch_size, length, generator).inputs
        return Batch(x, 1000.0 * x.float()[..., None] + 5000)


@pytest.fixture(scope="module")
def student() -> Student:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Student(Categorical(7), Categorical(7), CellSettings(kind="lstm", tokens=2, memory_width=24))


TASKS: dict[str, SequenceTask] = {
    "few": Digits(4),
    "half": Digits(7, 3),
    "other": Digits(9, stream="two"),
    "sum": Sums(),
}


@pytest.fixture(scope="module")
def heads(student: Student) -> Heads:
    return adapt_many(student, TASKS, **HOW)


def weights(student: Student) -> dict[str, Tensor]:
    return student.state_dict()


def test_every_task_is_learnt_and_the_network_stays(student: Student, heads: Heads) -> None:
    assert list(heads.students) == list(heads.metrics) == list(TASKS)
    guesses = {"few": 0.80, "half": 0.57, "other": 0.80}  # of the more frequent answer
    assert all(heads.metrics[name]["accuracy"] > guess + 0.05 for name, guess in guesses.items())
    assert heads.metrics["sum"]["rmse"] < 1000  # a guess has 2000
    assert heads["half"].targets == Categorical(3)
    for one in heads.students.values():
        assert one.cell is heads.student.cell
        assert one.empty_memory is heads.student.empty_memory
    assert same_state(weights(heads.student), weights(student))
    assert heads.student.cell is not student.cell


def test_a_head_is_the_same_whatever_else_is_learnt(student: Student, heads: Heads) -> None:
    alone = adapt_many(student, {"half": TASKS["half"]}, **HOW)
    assert same_state(weights(alone["half"]), weights(heads["half"]))
    assert alone.metrics["half"] == heads.metrics["half"]


def reads(student: Student, monkeypatch: pytest.MonkeyPatch, tasks: dict[str, SequenceTask]) -> int:
    """How often a training step reads a batch."""
    rows = list[int]()
    features = Network.features

    def noted(network: Network, inputs: Tensor, *given: Any, **named: Any) -> Any:
        rows.append(len(inputs))
        return features(network, inputs, *given, **named)

    monkeypatch.setattr(Network, "features", noted)
    adapt_many(student, tasks, **{**HOW, "steps": 1, "batch_size": 5})
    return rows.count(5)


def test_tasks_of_the_same_inputs_share_their_memories(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reads(student, monkeypatch, {str(below): Digits(below) for below in range(2, 8)}) == 1
    assert reads(student, monkeypatch, TASKS) == 2


def test_control_inputs_that_are_taken_for_the_same_are_caught(
    student: Student, heads: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "_reads_the_same", lambda batch, other: True)
    wrong = adapt_many(student, TASKS, **HOW)
    assert not same_state(weights(wrong["other"]), weights(heads["other"]))
    assert wrong.metrics["other"]["accuracy"] < 0.85


def test_outputs_are_those_of_the_students(heads: Heads) -> None:
    x = torch.randint(7, (3, 9), generator=torch.Generator().manual_seed(3))
    outputs, last = heads.outputs(x)
    for name, one in heads.students.items():
        alone, memory = one(x)
        assert torch.equal(outputs[name], alone)
        assert torch.equal(last, memory)


def test_heads_are_kept_with_one_network(heads: Heads, tmp_path: Path) -> None:
    heads.save_pretrained(tmp_path / "heads")
    again = Heads.from_pretrained(tmp_path / "heads")
    assert again.metrics == heads.metrics
    for name, one in heads.students.items():
        assert same_state(weights(again[name]), weights(one))
        assert (again[name].targets, again[name].trained_on) == (one.targets, one.trained_on)
        assert again[name].cell is again.student.cell
    x = torch.randint(7, (3, 9), generator=torch.Generator().manual_seed(3))
    assert torch.equal(
        again["sum"].readout(again["sum"].rollout(x)[:, -1]), heads["sum"].readout(heads["sum"].rollout(x)[:, -1])
    )
    heads.student.save_pretrained(tmp_path / "network")
    sizes = {name: (tmp_path / name / "model.safetensors").stat().st_size for name in ("heads", "network")}
    assert sizes["heads"] == sizes["network"]
    heads["few"].save_pretrained(tmp_path / "few")  # one of them, as a student like any other
    assert same_state(weights(Student.from_pretrained(tmp_path / "few")), weights(heads["few"]))


def test_an_own_cell(tmp_path: Path) -> None:
    first = fit(Digits(4), method="bptt", cell=OwnCell(7), length=8, steps=2).student
    found = adapt_many(first, {"few": Digits(4)}, **{**HOW, "steps": 3})
    found.save_pretrained(tmp_path / "heads")
    again = Heads.from_pretrained(tmp_path / "heads", cell=OwnCell(7))
    assert same_state(weights(again["few"]), weights(found["few"]))


def test_the_end_of_training_can_be_asked_for(student: Student) -> None:
    steps = iter([False, True])
    with pytest.warns(match="stopped after 2 steps of each task"):
        found = adapt_many(student, {"few": Digits(4)}, stop=lambda: next(steps), **HOW)
    assert "accuracy" in found.metrics["few"]


def test_a_step_that_is_not_finite_is_left_out_for_its_head_alone(student: Student, heads: Heads) -> None:
    class Bad(Sums):
        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
            batch = super().sample(batch_size, length, generator)
            bad = batch_size == HOW["batch_size"]  # in training
            return Batch(batch.inputs, batch.targets * 1e25 if bad else batch.targets)

    with pytest.warns(match=r"^head sum: a step was skipped, because its loss was "):
        found = adapt_many(student, {**TASKS, "sum": Bad()}, **HOW)
    assert same_state(weights(found["half"]), weights(heads["half"]))
    assert all(bool(t.isfinite().all()) for t in weights(found["sum"]).values())


def test_a_length_that_cuts_sequences_gives_a_notice(student: Student) -> None:
    digits = [torch.arange(9) % 7] * 8
    task = Sequences(digits, targets=digits, inputs_space=Categorical(7))
    with pytest.warns(Notice, match=r"^length is 8, and the longest sequence of Sequences has 9 steps;"):
        adapt_many(student, {"digits": task}, **{**HOW, "steps": 1})


def test_mistakes(student: Student, heads: Heads, tmp_path: Path) -> None:
    class Wide(Digits):
        inputs = Categorical(9)

    few = {"few": Digits(4)}
    with pytest.raises(ValueError, match=r"^seconds is 3 and steps is 150; give one of them$"):
        adapt_many(student, few, seconds=3, **HOW)
    with pytest.raises(ValueError, match=r"^tasks is \{\}; it must hold a nounroll.SequenceTask for each name$"):
        adapt_many(student, {}, **HOW)
    with pytest.raises(ValueError, match=r"^length has 'tga', which is no task; the tasks are 'x'$"):
        adapt_many(student, {"x": Digits(4)}, **{**HOW, "length": {"tga": 4}})
    with pytest.raises(ValueError, match=r"^task 'x' has inputs Categorical\(n=9\)?.*, and the student"):
        adapt_many(student, {"x": Wide(4)}, **HOW)
    with pytest.raises(
        ValueError, match=r"^the name of a head is 'a\.b'; it must be a text of its own, without a dot$"
    ):
        adapt_many(student, {"a.b": Digits(4)}, **HOW)
    with pytest.raises(ValueError, match=r"^width is 0"):
        adapt_many(student, few, width=0, **HOW)
    with pytest.raises(ValueError, match=r"^training\.steps is 0"):
        adapt_many(student, few, **{**HOW, "steps": 0})
    student.save_pretrained(tmp_path / "network")
    with pytest.raises(ValueError, match=r"holds no heads; nounroll.Student.from_pretrained opens a network alone$"):
        Heads.from_pretrained(tmp_path / "network")
