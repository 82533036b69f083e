"""What an evaluation holds at once is bounded, and its figures are those without bounds."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import make_student, make_teacher
from nounroll import Categorical, Real, Student
from nounroll.analysis.horizon import by_position, by_steps_ahead
from nounroll.cells.base import CELLS, CellSettings
from nounroll.core.batch import Batch, Space
from nounroll.rollout import chunks
from nounroll.rollout.evaluate import evaluate, evaluate_teacher
from nounroll.rollout.packing import packing
from nounroll.rollout.transformer import CausalTransformer
from nounroll.teacher import TeacherSettings, build_teacher

SPACES = [Categorical(7), Real(2)]
NUMBERS = [1, 40, 300]  # parts of one element, of some steps, of some rows


def batches(space: Space) -> list[Batch]:
    found = []
    for rows in (5, 3):
        shape = (rows, 9)
        values = torch.randint(7, shape) if isinstance(space, Categorical) else torch.randn(*shape, 2)
        found.append(Batch(values, values.roll(1, 1), torch.rand(shape) < 0.6))
    return [*found, replace(found[0], mask=torch.zeros(5, 9, dtype=torch.bool))]


def student(space: Space, kind: str = "gru") -> Student:
    cell: Any = CellSettings(kind=kind, tokens=2, memory_width=8)  # type: ignore[arg-type]
    return Student(space, space, cell, readout_width=8).eval()


def assert_alike(one: dict[str, float], other: dict[str, float]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert other[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("kind", [*CELLS, "baseline"])
def test_evaluations_in_parts_give_the_figures_of_the_whole(
    kind: str, space: Space, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TeacherSettings(width=8, layers=1, decoder_layers=1)
    model: Any = CausalTransformer(space, space, settings) if kind == "baseline" else student(space, kind)
    data, figures = batches(space), [evaluate]
    if kind != "baseline":
        teacher = build_teacher(settings, space, space, model.cell).eval()
        figures += [
            lambda *given: evaluate(*given, teacher.kept),
            lambda *given: evaluate_teacher(*given, teacher.memories),
        ]
    whole = [figure(model, data) for figure in figures]
    monkeypatch.setattr(chunks, "NUMBERS", numbers)
    for figure, expected in zip(figures, whole, strict=True):
        assert_alike(figure(model, data), expected)


@pytest.mark.parametrize("kind", ["slots", "causal"])
def test_analyses_in_parts_give_the_figures_of_the_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    space, one = SPACES[0], student(SPACES[0])
    settings = TeacherSettings(kind=kind, width=8, layers=1, decoder_layers=1, horizon=4)  # type: ignore[arg-type]
    teacher = build_teacher(settings, space, space, one.cell).eval()
    batch = batches(space)[0]
    memories = one.rollout(batch.inputs).detach()
    assert teacher.decoder is not None

    def figures() -> dict[str, float]:
        found = {f"packing {i}": getattr(p, name) for i, p in enumerate(packing(one, teacher, batch)) for name in names}
        by_time = by_position(one, memories, batch)
        ahead = by_steps_ahead(one, teacher.decoder, memories, batch, 3)  # type: ignore[arg-type]
        series = {"loss": by_time.loss, "hits": by_time.hits, "ahead": ahead}
        return found | {f"{n} {i}": v for n, values in series.items() for i, v in enumerate(values) if v is not None}

    names = ("teacher", "packed", "student_packed")
    whole = figures()
    assert len(whole) > 20
    for numbers in NUMBERS:
        monkeypatch.setattr(chunks, "NUMBERS", numbers)
        assert_alike(figures(), whole)


def test_no_part_is_larger_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    one, seen = student(SPACES[0]), list[int]()
    monkeypatch.setattr(chunks, "NUMBERS", 64)
    head, step = one.head.forward, one.cell.unroll

    def watched(features: Tensor) -> Tensor:
        seen.append(features.shape[0] * 7)
        return head(features)

    def unrolled(inputs: Tensor, memory: Tensor) -> Tensor:
        seen.append(inputs.numel() * 16)
        return step(inputs, memory)

    monkeypatch.setattr(one.head, "forward", watched)
    monkeypatch.setattr(one.cell, "unroll", unrolled)
    evaluate(one, batches(SPACES[0]))
    assert max(seen) <= 64
    assert len(seen) > 30


PEAK = """
import sys, torch
from nounroll import Categorical, Student
from nounroll.core.batch import Batch
from nounroll.bench.memory import memory_figure
from nounroll.cells.base import CellSettings
from nounroll.rollout import chunks
from nounroll.rollout.evaluate import evaluate
torch.set_num_threads(1)
space = Categorical(50_257)
one = Student(space, space, CellSettings(kind="gru", tokens=2, memory_width=16), readout_width=16).eval()
x = torch.randint(space.n, (4, 1024))
evaluate(one, [Batch(x[:, :8], x[:, :8])])
before = memory_figure("VmHWM")
chunks.NUMBERS = int(sys.argv[1])
evaluate(one, [Batch(x, x)])
print(memory_figure("VmHWM") - before)
"""


def peak(numbers: int) -> int:
    """Bytes that an evaluation at V = 50,257 and T = 1,024 takes above the model."""
    done = subprocess.run([sys.executable, "-c", PEAK, str(numbers)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_large_vocabulary_is_measured_within_a_gigabyte() -> None:
    assert peak(chunks.NUMBERS) < 1e9


def test_control_without_bounds_it_takes_more() -> None:
    assert peak(2**40) > 1e9


def test_helpers_students_are_measured_with_their_teachers() -> None:
    """Precisions other than float32 pass through too."""
    one = make_student("lstm", dtype=torch.float64)
    x = torch.randint(5, (2, 6))
    assert evaluate(one, [Batch(x, x)], make_teacher(one).kept)["drift"] > 0
