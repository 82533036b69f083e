"""The collapse guard: memories that are all alike raise the alarm, and healthy ones do not."""

import pytest
import torch
from torch import Tensor

from helpers import make_batch, make_student, make_teacher, tiny_recipe
from nounroll.core.seeding import generator
from nounroll.experiments.run import train
from nounroll.rollout.collapse import guard, spectrum, spread, warning
from nounroll.teacher import Teacher


def gaussian(rows: int, directions: int) -> Tensor:
    """Memories that vary equally in some directions, and not in the others."""
    source = generator(0, "test")
    basis = torch.linalg.qr(torch.randn(16, 16, generator=source))[0][:directions]
    return (torch.randn(rows, directions, generator=source) @ basis).unflatten(-1, (2, 8))


@pytest.mark.parametrize("directions", [1, 4, 16])
def test_effective_rank_counts_directions(directions: int) -> None:
    assert spread(gaussian(4000, directions)).rank == pytest.approx(directions, rel=0.05)


def test_two_memories_differ_in_one_direction() -> None:
    two = gaussian(2, 16).repeat(50, 1, 1)
    assert spread(two).rank == pytest.approx(1.0)
    assert spread(two).variance > 0.1


def test_shares_sum_to_one_largest_first() -> None:
    shares = spectrum(gaussian(100, 16))
    assert float(shares.sum()) == pytest.approx(1.0)
    assert (shares.diff() <= 0).all()


def test_equal_memories_have_no_rank() -> None:
    one = gaussian(1, 16).repeat(100, 1, 1)
    assert spread(one).rank == 0
    assert spread(one + 1e-7 * gaussian(100, 16)).rank == 0  # what rounding leaves is no direction
    assert spread(one).variance < 1e-12


def test_a_teacher_as_it_comes_is_healthy() -> None:
    student = make_student()
    found = guard(student, make_teacher(student), make_batch(8, 12))
    assert warning(found) == ""
    assert found["memory_rank"] > 2


def test_one_step_that_is_right_explains_everything() -> None:
    """The cell's own rollout in place of labels: every single step is exact."""
    student, batch = make_student(), make_batch(8, 12)
    teacher = make_teacher(student)
    rollout = student.rollout(batch.inputs)
    teacher.memories = lambda inputs, positions: rollout[torch.arange(8)[:, None], positions]  # type: ignore[method-assign]
    assert guard(student, teacher, batch)["explained"] == pytest.approx(1.0)


def collapse(teacher: Teacher, spared: float = 0.0) -> None:
    """Plant the bug: labels no longer depend on what was read."""
    with torch.no_grad():
        teacher.head.weight.mul_(spared)


@pytest.mark.parametrize("spared", [0.0, 1e-3])
def test_control_collapsed_memories_raise_the_alarm(spared: float) -> None:
    student = make_student()
    teacher = make_teacher(student)
    collapse(teacher, spared)
    line = warning(guard(student, teacher, make_batch(8, 12)))
    assert line.startswith("memories have collapsed: ")
    assert "\n" not in line


def test_the_alarm_is_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose teacher is kept collapsed says so at every evaluation; a healthy one never does."""
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: {"flops": 1.0, "sequential_flops": 1.0})
    healthy = [record for record in train(tiny_recipe("method=smt")).history if record["event"] == "evaluation"]
    assert all("warning" not in record and record["memory_variance"] > 0.01 for record in healthy)
    forward = Teacher.memories

    def constant(self: Teacher, *arguments: Tensor) -> Tensor:
        collapse(self)
        return forward(self, *arguments)

    monkeypatch.setattr(Teacher, "memories", constant)
    records = [record for record in train(tiny_recipe("method=smt")).history if record["event"] == "evaluation"]
    assert records
    assert all("collapsed" in record["warning"] and record["memory_rank"] == 0 for record in records)


def test_without_a_teacher_there_is_nothing_to_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: {"flops": 1.0, "sequential_flops": 1.0})
    run = train(tiny_recipe("method=bptt", "training.steps=2"))
    assert not any("memory_rank" in record for record in run.history)
