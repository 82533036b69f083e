"""One teacher for many cells: a run may take the teacher of another, which then learns nothing more."""

import shutil
from pathlib import Path

import pytest
import torch

from helpers import SMT_VALUES, gradients, make_batch, make_student, make_teacher, tiny_recipe
from nounroll.core.batch import Batch, Real
from nounroll.core.seeding import generator
from nounroll.data.parity import Parity
from nounroll.data.retrieval import Retrieval
from nounroll.data.scale import measured
from nounroll.data.task import SequenceTask
from nounroll.experiments.run import Run, fit, train
from nounroll.experiments.run_folder import open_teacher
from nounroll.methods import SMT, SMTSettings
from own_parts import OwnCell

SMT_ALONE = ("method=smt", "training.steps=6", "training.evaluations=2")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an mlp whose teacher others take."""
    folder = tmp_path_factory.mktemp("one") / "first"
    train(tiny_recipe(*SMT_ALONE), folder=folder)
    return folder


def taken(first: Path, *settings: str, folder: Path | None = None, **how: object) -> Run:
    recipe = tiny_recipe(*SMT_ALONE, f"smt.teacher={first}", *settings)
    return train(recipe, folder=folder, **how)  # type: ignore[arg-type]


def weights(run_of: Path, run: Run) -> dict[str, torch.Tensor]:
    teacher = open_teacher(run_of, run.student)
    assert teacher is not None
    return teacher.state_dict()


@pytest.mark.parametrize("kind", ["mlp", "transformer", "tape"])
def test_a_cell_learns_from_a_teacher_that_stays_as_it_is(first: Path, tmp_path: Path, kind: str) -> None:
    run = taken(first, f"cell.kind={kind}", "method=smt+dmt", folder=tmp_path / "second")
    kept, given = weights(tmp_path / "second", run), weights(first, run)
    for name in (name for name in given if not name.startswith("decoder")):  # DMT's decoder goes on learning
        assert torch.equal(kept[name], given[name]), name
    untrained = train(tiny_recipe("training.steps=1", "training.learning_rate=1e-12", f"cell.kind={kind}"))
    pairs = zip(run.student.parameters(), untrained.student.parameters(), strict=True)
    assert any(not torch.equal(mine, its) for mine, its in pairs)


def test_control_a_teacher_of_ones_own_learns(first: Path, tmp_path: Path) -> None:
    run = train(tiny_recipe(*SMT_ALONE, "training.seed=1"), folder=tmp_path / "second")
    kept, given = weights(tmp_path / "second", run), weights(first, run)
    assert not any(torch.equal(kept[name], given[name]) for name in given if "weight" in name and "norm" not in name)


@pytest.mark.parametrize("chunk", [0, 3])
def test_the_student_has_the_gradients_of_labels_that_are_given(chunk: int) -> None:
    """No loss but those of the cell and the readout, and no gradient that goes into a label."""
    student, batch = make_student(), make_batch(3, 7)
    teacher = make_teacher(student)

    def losses(**settings: object) -> dict[str, torch.Tensor]:
        method = SMT(student, teacher, SMTSettings(**{**SMT_VALUES, "relative": True, "chunk": chunk, **settings}))
        return method(batch, {}, generator(0, "loss"), 0.5)[0]

    both = losses(teacher="a run"), losses(decoding=0.0, uniformity=0.0)
    assert set(both[0]) == {"loss", "readout", "dynamics", "step_readout", "explained"}
    torch.testing.assert_close(both[0]["loss"], both[1]["loss"])
    expected = gradients(both[1]["loss"], student)
    for name, value in gradients(both[0]["loss"], student).items():
        torch.testing.assert_close(value, expected[name], msg=name)
    reached = torch.autograd.grad(losses(teacher="a run")["loss"], list(teacher.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in reached)


def test_it_costs_less(first: Path) -> None:
    run, whole = taken(first), train(tiny_recipe(*SMT_ALONE))
    assert run.metrics["flops"] < 0.7 * whole.metrics["flops"]


def test_it_is_resumed_exactly(first: Path, tmp_path: Path) -> None:
    whole = taken(first, folder=tmp_path / "whole")
    asked = iter(range(100))
    assert not taken(first, folder=tmp_path / "stopped", stop=lambda: next(asked) == 2).finished
    resumed = taken(first, folder=tmp_path / "stopped", resume=True)
    assert all(torch.equal(p, q) for p, q in zip(whole.model.parameters(), resumed.model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("teacher.layers=2",), r"there teacher\.layers is 1, here 2: set it to 1$"),
        (("cell.memory_width=4",), r"its teacher is of another task or memory: size mismatch for .*head\.weight"),
        (("task.kind=retrieval",), r"its teacher is of another task or memory: size mismatch"),
        (("cell.kind=gru",), r"of a mlp cell: its memories have another range than this cell's$"),
    ],
)
def test_a_teacher_that_does_not_fit_is_one_line(first: Path, settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        taken(first, *settings)
    assert str(refusal.value).startswith(f"smt.teacher is {first}")
    assert "\n" not in str(refusal.value)


def test_a_run_without_a_teacher_is_one_line(first: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^smt\.teacher is nowhere; nowhere holds no run"):
        taken(Path("nowhere"))
    train(tiny_recipe("method=bptt"), folder=tmp_path / "bptt")
    with pytest.raises(ValueError, match=r"that run has no teacher: its method is bptt, or its checkpoints are gone$"):
        taken(tmp_path / "bptt")
    shutil.copytree(first, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "checkpoints")
    with pytest.raises(ValueError, match=r"that run has no teacher: its method is smt, or its checkpoints are gone$"):
        taken(tmp_path / "bare")


def test_of_a_cell_of_ones_own_it_is_not_taken(tmp_path: Path) -> None:
    small = {"teacher.width": 16, "readout_width": 16}
    own = str(tmp_path / "own")
    fit(Parity(), method="smt", cell=OwnCell(2), length=8, steps=2, settings=small, out=own)
    with pytest.raises(ValueError, match=r"of a cell of your own: the range of its memories is not known$"):
        fit(Parity(), method="smt", cell=OwnCell(2), length=8, steps=2, settings=small | {"smt.teacher": own})


@pytest.mark.nightly
def test_a_second_cell_learns_to_recall_from_the_first_ones_teacher(tmp_path: Path) -> None:
    """Retrieval at T = 32. What it costs beside the first is in docs/lab-notes.md."""
    settings = {"training.batch_size": 32, "training.evaluations": 2, "teacher.width": 64, "cell.memory_width": 32}
    fit(Retrieval(), method="smt", cell="mlp", length=32, steps=300, settings=settings, out=tmp_path / "first")
    second = {**settings, "smt.teacher": str(tmp_path / "first")}
    run = fit(Retrieval(), method="smt+dmt", cell="tape", length=32, steps=300, settings=second)
    assert run.metrics["accuracy"] >= 0.99


def test_its_labels_are_of_inputs_of_its_scale(tmp_path: Path) -> None:
    """At another length the scale that is measured is another one."""
    settings = {"teacher.width": 8, "teacher.layers": 1, "cell.memory_width": 8, "cell.tokens": 1, "readout_width": 8}
    how = {"method": "smt", "cell": "gru", "steps": 2}
    one = fit(Climbing(), length=8, out=tmp_path / "one", settings=settings, **how)  # type: ignore[arg-type]
    settings |= {"smt.teacher": str(tmp_path / "one")}
    other = fit(Climbing(), length=16, settings=settings, **how)  # type: ignore[arg-type]
    scales = [measured(Climbing(), length)[0].scale for length in (8, 16)]  # type: ignore[union-attr]
    assert one.student.inputs.scale == other.student.inputs.scale == scales[0] != scales[1]  # type: ignore[union-attr]


class Climbing(SequenceTask):
    inputs = targets = Real(1)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        walks = torch.randn(batch_size, length, 1, generator=generator).cumsum(1)
        return Batch(10 * walks, 10 * walks)
