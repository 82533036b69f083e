"""fit and train: what a run returns, what its folder holds, and errors that name the setting."""

import inspect
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from helpers import make_student, same_state, state, tiny_recipe, tree_of
from nounroll.core.batch import Batch, Categorical, Real
from nounroll.data.parity import Parity
from nounroll.data.retrieval import Retrieval
from nounroll.data.task import SequenceTask
from nounroll.experiments.run import Run, copy_cell, fit, plan, train
from nounroll.experiments.run_folder import CUSTOM, held, open_run, open_student, open_teacher
from nounroll.models.student import Student
from nounroll.rollout.evaluate import evaluate, validation_batches
from own_parts import Echo, OwnCell

SMALL: dict[str, Any] = {
    "cell.tokens": 2,
    "cell.memory_width": 8,
    "teacher.width": 16,
    "readout_width": 16,
    "training.batch_size": 8,
    "training.evaluations": 1,
    "training.device": "cpu",
}


def fails(message: str) -> Any:
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run in a folder."""
    return train(tiny_recipe(), folder=tmp_path_factory.mktemp("runs") / "tiny")


def folder_of(run: Run) -> Path:
    assert run.folder is not None
    return run.folder


@pytest.mark.parametrize(
    ("task", "window", "decoding"), [(Parity(), 8, 0.0), (Retrieval(), 1, 1.0)], ids=["dense", "sparse"]
)
def test_settings_left_open_are_filled_in_for_the_data_and_written(
    tmp_path: Path, task: SequenceTask, window: int, decoding: float
) -> None:
    run = fit(task, method="smt+dmt", cell="mlp", length=8, steps=2, out=tmp_path / "run", settings=SMALL)
    assert (run.recipe.smt.window, run.recipe.smt.decoding) == (window, decoding)
    assert open_run(tmp_path / "run")[0] == run.recipe
    text = (tmp_path / "run" / "recipe.yaml").read_text()
    kind = "most scored" if window == 8 else "few scored"
    assert text.startswith(f"# The data: {kind}")
    assert f"#   smt.window: {window}, {kind}\n" in text


# --- what it returns ----------------------------------------------------------------------------------


def test_figures(kept: Run) -> None:
    assert kept.metrics.keys() == {
        "loss", "bits", "accuracy", "drift", "steps", "tokens", "flops", "sequential_flops", "seconds"
    }  # fmt: skip
    assert kept.metrics["steps"] == 12
    assert 0 < kept.metrics["sequential_flops"] < kept.metrics["flops"]
    assert kept.finished
    assert not kept.student.training


def test_the_figures_are_those_of_sequences_never_looked_at(kept: Run) -> None:
    assert kept.teacher is not None
    batches = validation_batches(Parity(), 0, 8, seed=0, stream="test")
    measured = evaluate(kept.student, batches, kept.teacher.kept)
    assert {name: kept.metrics[name] for name in measured} == measured


def test_bptt_alone_has_no_teacher() -> None:
    run = fit(Echo(), method="bptt", cell="gru", length=6, steps=2, settings=SMALL)
    assert run.teacher is None
    assert "drift" not in run.metrics
    assert run.folder is None
    assert {record["method"] for record in run.history} == {"bptt"}


def test_seconds_are_a_budget() -> None:
    run = fit(Echo(), method="smt+dmt", cell="mlp", length=6, seconds=0.4, settings=SMALL)
    assert run.metrics["steps"] >= 2
    assert 0.4 <= run.metrics["seconds"] < 60  # one step may come on top, and the machine may be busy
    assert {record["method"] for record in run.history} == {"smt", "dmt"}


def test_a_module_is_trained_in_place_and_a_copy_is_not() -> None:
    cell = OwnCell(5)
    spare = copy_cell(cell)
    before = state(cell)
    run = fit(Echo(), method="bptt", cell=cell, length=6, steps=2, settings=SMALL)
    assert run.student.cell is cell
    assert not same_state(state(cell), before)
    assert isinstance(spare, nn.Module)
    assert same_state(state(spare), before)
    assert copy_cell("gru") == "gru"


# --- the folder ---------------------------------------------------------------------------------------


def test_a_folder_is_readable_without_the_program(kept: Run) -> None:
    folder = folder_of(kept)
    files = [name for name in tree_of(folder) if not name.startswith(("checkpoints", ".lock"))]
    assert files == [
        "data.json", "metrics.json", "metrics.jsonl", "recipe.yaml",
        "student/config.json", "student/manifest.json", "student/model.safetensors",
    ]  # fmt: skip
    assert json.loads((folder / "metrics.json").read_text()) == kept.metrics
    assert [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] == kept.history
    assert open_run(folder) == (kept.recipe, folder)
    assert len([path for path in (folder / "checkpoints").iterdir() if path.is_dir()]) == 2


def test_the_student_of_a_folder_is_the_one_returned(kept: Run) -> None:
    recipe, task, student = open_student(folder_of(kept))
    assert recipe == kept.recipe
    assert isinstance(task, Parity)
    assert same_state(state(student), state(kept.student))


def test_a_folder_is_used_once(kept: Run) -> None:
    folder = folder_of(kept)
    before = (folder / "metrics.jsonl").read_text()
    with fails(f"{folder} already holds a run; choose another folder, or: nounroll resume {folder}"):
        train(tiny_recipe(), folder=folder)
    assert (folder / "metrics.jsonl").read_text() == before


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with held(tmp_path / "run"):
        with fails(f"{tmp_path / 'run'} is in use by another process; wait for it or choose another folder"):
            train(tiny_recipe(), folder=tmp_path / "run")
        assert tree_of(tmp_path / "run") == [".lock"]
    train(tiny_recipe("training.steps=1", "method=bptt"), folder=tmp_path / "run")


def test_control_without_the_lock_a_second_process_is_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.experiments.run_folder.Lock", lambda _: SimpleNamespace(close=lambda: None))
    with pytest.raises(BaseException, match="DID NOT RAISE"):
        test_two_processes_do_not_share_a_folder(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match=r"^run folder .*file/run cannot be written: Not a directory$"):
        train(tiny_recipe(), folder=tmp_path / "file" / "run")


def test_folders_that_hold_no_run_or_no_student(tmp_path: Path) -> None:
    with fails(f"{tmp_path} holds no run; there is no recipe.yaml in it"):
        open_run(tmp_path)
    (tmp_path / "recipe.yaml").write_text(tiny_recipe().to_yaml())
    with fails(f"{tmp_path} holds no trained student yet; continue with: nounroll resume {tmp_path}"):
        open_student(tmp_path)


def test_a_run_on_an_own_task_opens_in_python(tmp_path: Path) -> None:
    run = fit(Echo(), method="bptt", cell="gru", length=6, steps=1, settings=SMALL, out=tmp_path / "run")
    assert run.recipe.task.kind == CUSTOM
    assert open_run(tmp_path / "run")[0] == run.recipe
    where = f"nounroll.Student.from_pretrained({str(tmp_path / 'run' / 'student')!r})"
    with fails(f"{tmp_path / 'run'} was trained on a task of your own; its network opens in Python: {where}"):
        open_student(tmp_path / "run")
    again = train(run.recipe, Echo(), folder=tmp_path / "run", resume=True)
    assert same_state(state(again.student), state(run.student))
    assert same_state(state(Student.from_pretrained(tmp_path / "run" / "student")), state(run.student))


# --- errors -------------------------------------------------------------------------------------------


class Promised(SequenceTask):
    """A task that gives something else than it promises."""

    inputs, targets = Categorical(2), Categorical(2)

    def __init__(self, gives: Any) -> None:
        self.gives = gives

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Any:
        return self.gives(batch_size, length)


def twos(size: int, length: int) -> Batch:
    return Batch(torch.full((size, length), 2), torch.zeros(size, length, dtype=torch.int64))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("parity", "task is a str; it must be a nounroll.SequenceTask"),
        (Echo, "task is a ABCMeta; it must be a nounroll.SequenceTask"),
        (Promised(lambda *_: None), "Promised.sample returned NoneType; it must return a nounroll.Batch"),
        (Promised(twos), "Promised: inputs holds the symbol 2; Categorical(2) allows 0..1"),
        (
            Promised(lambda size, length: twos(size + 1, length)),
            "Promised: inputs have shape (3, 6); Categorical(n=2) at this size needs (2, 6)",
        ),
    ],
)
def test_no_task(task: Any, message: str) -> None:
    untyped: Any = inspect.unwrap(fit)  # without the tests' own check of types
    with fails(message):
        untyped(task, length=6, steps=1)


def test_a_length_that_the_data_does_not_have() -> None:
    class Short(Echo):
        max_length = 4

    with fails("length is 6; Short holds sequences of at most 4"):
        fit(Short(), length=6, steps=1, settings=SMALL)
    with fails("length is 0; it must be at least 1"):
        fit(Echo(), length=0, steps=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"method": "dmt"},
            "method is 'dmt'; dmt needs smt before it: there is no teacher otherwise, unless one is given"
            " (teacher=, or train --from RUN)",
        ),
        ({"steps": 0}, "training.steps is 0; it must be more than 0"),
        ({"steps": 2, "seconds": 1.0}, "training.seconds is 1.0 and training.steps is 2; give exactly one of them"),
        ({"settings": {"teacher.layers": 0}}, "teacher.layers is 0; it must be at least 1"),
        ({"settings": {"cell.tokens": 0}}, "cell.tokens is 0; it must be at least 1"),
    ],
)
def test_settings_that_are_not_usable(given: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"length": 6, "steps": 1, **given}
    with fails(message):
        fit(Echo(), **values)


@pytest.mark.parametrize("wrong", [[1], "cell.tokens=8"], ids=str)
def test_settings_that_are_no_dict(wrong: Any) -> None:
    untyped: Any = inspect.unwrap(plan)  # without the tests' own check of types
    with fails(f"settings is {wrong!r}; it must be a dict by dotted names, such as {{'teacher.width': 256}}"):
        untyped("bptt", "gru", length=6, budget={}, settings=wrong)


def test_an_unknown_cell_and_setting() -> None:
    with pytest.raises(ValueError, match=r"cell\.kind is 'rnn'"):
        fit(Echo(), cell="rnn", length=6, steps=1)
    with pytest.raises(ValueError, match=r"teacher\.depth is unknown; teacher has kind, path, "):
        fit(Echo(), length=6, steps=1, settings={"teacher.depth": 2})
    with fails("Linear.memory_shape is None; it must be (tokens, width), such as (4, 64)"):
        fit(Echo(), cell=nn.Linear(2, 2), length=6, steps=1)


def test_a_failed_fit_claims_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Promised"):
        fit(Promised(twos), length=6, steps=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_students_are_seeded() -> None:
    assert same_state(state(make_student(seed=3)), state(make_student(seed=3)))
    one, other = (
        fit(Echo(), method="bptt", cell="gru", length=6, steps=1, seed=seed, settings=SMALL) for seed in (0, 1)
    )
    assert not same_state(state(one.student), state(other.student))


def test_the_teacher_of_a_folder_is_the_one_returned(kept: Run) -> None:
    teacher = open_teacher(folder_of(kept), kept.student)
    assert teacher is not None
    assert kept.teacher is not None
    assert same_state(state(teacher), state(kept.teacher))


class LastValue(SequenceTask):
    """A number for each sequence: that of its last step."""

    inputs, targets = Real(1), Real(1)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = torch.rand(batch_size, length, 1, generator=generator)
        return Batch(x, x[:, -1:].expand_as(x), (torch.arange(length) == length - 1).expand(batch_size, -1))


def test_numbers_at_the_end_of_sequences_are_learnt_below_a_loss_of_nought() -> None:
    """Densities have no least loss: what is a share of errors for labels is none for numbers."""
    run = fit(LastValue(), method="bptt", cell="gru", length=6, steps=400)
    assert run.metrics["loss"] < -1
    assert run.metrics["rmse"] < 0.1
