"""A run owns what it was trained with: it needs no training file to write on, and says where the file differs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nounroll import data
from nounroll.cli.evaluate import evaluate
from nounroll.cli.export import export
from nounroll.cli.generate import generate
from nounroll.core.batch import Real
from nounroll.data import kept
from nounroll.data.csv_series import Series
from nounroll.data.kept import keep, without_data
from nounroll.experiments.recipe import load
from nounroll.experiments.run import train
from nounroll.experiments.run_folder import difference, open_student, read_kept
from nounroll.experiments.verify import verify
from nounroll.models.student import Student
from nounroll.storage.trust import trusting

SETTINGS = (
    "training: {steps: 3, batch_size: 4}\nmethod: tbptt\nlength: 16\n"
    "cell: {kind: gru, memory_width: 8, tokens: 1}\nreadout_width: 8\n"
)
Write = Callable[[Path, int], None]


def _series(folder: Path, more: int) -> None:
    rows = [f"{20 + 3 * np.sin(i / 5):.3f},{1e5 + i}" for i in range(400)] + ["500,0"] * more
    (folder / "s.csv").write_text("\n".join(["temp,price", *rows]) + "\n")


def _text(folder: Path, more: int) -> None:
    (folder / "t.txt").write_text("the quick brown fox. " * 100 + "zyx " * more)


def _tokens(folder: Path, more: int) -> None:
    np.save(folder / "a.npy", np.concatenate([np.tile(np.arange(6), 60), np.full(more, 5)]))


def _rows(folder: Path, more: int) -> None:
    np.save(folder / "r.npy", np.tile(np.arange(20) % 6, (30 + more, 1)))


KINDS: dict[str, tuple[str, str, str, Write]] = {  # kind of task, file, prompt
    "series": ("series", "s.csv", "20,100000 21,100001", _series),
    "text": ("text", "t.txt", "the ", _text),
    "tokens": ("array", "a.npy", "0 1 2", _tokens),
    "rows": ("array", "r.npy", "0 1 2", _rows),
}


def trained(kind: str, folder: Path) -> Path:
    """A run in ``folder``/run, of a recipe beside its data."""
    task, name, _, write = KINDS[kind]
    write(folder, 0)
    (folder / "r.yaml").write_text(f"task: {{kind: {task}, options: {{path: {name}}}}}\n{SETTINGS}")
    train(load(folder / "r.yaml"), folder=folder / "run")
    return folder / "run"


def written(run: Path, kind: str) -> str:
    return generate(run, prompt=KINDS[kind][2], length=5, temperature=0)["text"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_writes_hangs_on_no_file(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(kind, tmp_path)
    first, beginning = written(run, kind), generate(run, length=3, temperature=0)["text"]
    evaluate(run, sequences=2)
    assert "differs" not in capsys.readouterr().err
    KINDS[kind][3](tmp_path, 50)
    assert written(run, kind) == first
    evaluate(run, sequences=2)
    assert "the data differs from what the network was trained with" in capsys.readouterr().err
    (tmp_path / KINDS[kind][1]).unlink()
    assert written(run, kind) == first
    assert generate(run, length=3, temperature=0)["text"] == beginning
    assert export(run, to="safetensors")["difference"] < 1e-3
    with pytest.raises(ValueError, match="there is no such file or folder"):
        evaluate(run, sequences=2)


def test_control_a_scale_of_the_file_as_it_is_changes_the_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained("series", tmp_path)
    first = written(run, "series")
    _series(tmp_path, 50)
    spaces = Series(path=tmp_path / "s.csv").inputs

    def planted(folder: str | Path) -> Student:
        student = opened(folder)
        student.rescale(spaces, spaces)
        return student

    opened = Student.from_pretrained
    monkeypatch.setattr(Student, "from_pretrained", planted)
    assert written(run, "series") != first


def test_data_of_another_kind_is_named(tmp_path: Path) -> None:
    run = trained("tokens", tmp_path)
    np.save(tmp_path / "a.npy", np.append(np.tile(np.arange(6), 60), [9] * 4))
    assert written(run, "tokens")
    with pytest.raises(ValueError, match=r"Categorical\(n=6\), and now they are Categorical\(n=10\): the data differs"):
        evaluate(run)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_and_its_data_move_together(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    run = trained(kind, tmp_path / "here")
    assert f"path: ../{KINDS[kind][1]}" in (run / "recipe.yaml").read_text()
    assert str(tmp_path) not in (run / "recipe.yaml").read_text()
    shutil.move(tmp_path / "here", tmp_path / "there")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with trusting():  # a moved run has lost the consent to read outside its folder
        recipe, task, student = open_student(Path("../there/run"))
        assert difference(run, task, student.trained_on) == ""
        assert train(recipe, folder=Path("../there/run"), resume=True).finished


def test_paths_of_the_working_folder_still_lead_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As README's recipes have them: the recipe in one folder, the data where the command is called."""
    monkeypatch.chdir(tmp_path)
    _text(tmp_path, 0)
    Path("recipes").mkdir()
    Path("recipes/r.yaml").write_text("task: {kind: text, options: {path: t.txt}}\n" + SETTINGS)
    with trusting():
        train(load("recipes/r.yaml"), folder=Path("runs/a"))
    assert "path: ../../t.txt" in Path("runs/a/recipe.yaml").read_text()
    assert open_student("runs/a")[0].task.options["path"] == "t.txt"
    absolute = load("recipes/r.yaml", [f"task.options.path={tmp_path / 't.txt'}"])
    assert absolute.kept_in(Path("runs/a")).task.options["path"] == str(tmp_path / "t.txt")


def test_the_run_and_the_student_keep_the_same(tmp_path: Path) -> None:
    run = trained("series", tmp_path)
    found = read_kept(run)
    student = open_student(run, with_data=False)[2]
    assert found is not None
    assert found[0] == student.trained_on
    assert isinstance(found[1], Real)
    assert isinstance(student.inputs, Real)
    assert found[1].scale == student.inputs.scale
    assert found[0]["speech"] == {"columns": ["temp", "price"]}


def test_a_resumed_run_keeps_the_scale_it_began_with(tmp_path: Path) -> None:
    _series(tmp_path, 0)
    (tmp_path / "r.yaml").write_text(f"task: {{kind: series, options: {{path: s.csv}}}}\n{SETTINGS}")
    asked = iter([False, True])
    stopped = train(load(tmp_path / "r.yaml"), folder=tmp_path / "run", stop=lambda: next(asked, True))
    assert not stopped.finished
    first = stopped.student.inputs
    _series(tmp_path, 50)
    resumed = train(load(tmp_path / "run" / "recipe.yaml"), folder=tmp_path / "run", resume=True, force=True)
    assert isinstance(first, Real)
    assert isinstance(resumed.student.inputs, Real)
    assert resumed.student.inputs.scale == first.scale != Series(path=tmp_path / "s.csv").inputs.scale  # type: ignore[union-attr]


def _students(task: Any) -> Student:
    return Student(task.inputs, task.targets)


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_without_data_speaks_as_it_did_and_gives_no_sequences(kind: str, tmp_path: Path) -> None:
    name, file, prompt, write = KINDS[kind]
    write(tmp_path, 0)
    task = data.build(name, {"path": str(tmp_path / file)})
    document = json.loads(json.dumps(keep(task, name)))
    bare = without_data(document, task.inputs, task.targets)
    assert torch.equal(bare.encode(prompt), task.encode(prompt))
    assert torch.equal(bare.prompt(), task.prompt())
    assert bare.decode(task.encode(prompt)) == task.decode(task.encode(prompt))
    assert (bare.autoregressive, bare.max_length) == (task.autoregressive, task.max_length)
    assert isinstance(bare, type(task))
    for ask in (bare.validation, bare.test, lambda: bare.sample(1, 2, torch.Generator())):
        with pytest.raises(ValueError, match="was opened without its data"):
            ask()


def test_images_are_drawn_without_their_data() -> None:
    pytest.importorskip("sklearn")
    task: Any = data.build("digits")
    bare: Any = without_data(json.loads(json.dumps(keep(task, "digits"))), task.inputs, task.targets)
    assert (bare.image_shape, bare.levels, bare.start) == (task.image_shape, task.levels, task.start)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "no such kind"},
        {"kind": 7},
        {"speech": {}},
        {"speech": None},
        {"speech": {"first": [300]}},
        {"max_length": "long"},
    ],
)
def test_what_a_stranger_wrote_is_refused_in_one_line(change: dict[str, Any], tmp_path: Path) -> None:
    _text(tmp_path, 0)
    task = data.build("text", {"path": str(tmp_path / "t.txt")})
    with pytest.raises(
        ValueError, match=r"^the description of its task in the network's folder cannot be read \("
    ) as error:
        without_data({**keep(task, "text"), **change}, task.inputs, task.targets)
    assert "\n" not in str(error.value)


def test_runs_of_an_earlier_version_open_by_their_data(tmp_path: Path) -> None:
    run = trained("text", tmp_path)
    student = Student.from_pretrained(run / "student")
    student.trained_on = {}
    student.save_pretrained(run / "student")
    (run / "data.json").unlink()
    assert "trained_on" not in (run / "student" / "config.json").read_text()
    assert written(run, "text")
    assert evaluate(run, sequences=2)["metrics"]["loss"] > 0
    assert read_kept(run) is None


def test_series_of_an_earlier_version_are_standardised_by_their_file(tmp_path: Path) -> None:
    """Its student had no scale, as the task standardised what it gave."""
    run = trained("series", tmp_path)
    first = written(run, "series")
    student = Student.from_pretrained(run / "student")
    student.trained_on = {}
    student.rescale(Real(2), Real(2))
    student.save_pretrained(run / "student")
    (run / "data.json").unlink()
    assert "scale" not in (run / "student" / "config.json").read_text()
    assert written(run, "series") == first


def test_a_damaged_document_is_named(tmp_path: Path) -> None:
    run = trained("text", tmp_path)
    (run / "data.json").write_text("{")
    with pytest.raises(ValueError, match=r"data\.json cannot be read"):
        read_kept(run)
    assert [fault.partition(": ")[0] for fault in verify(run).faults] == [f"{run / 'data.json'} cannot be read"]


def test_every_kind_that_a_recipe_names_is_kept() -> None:
    """A class that has words of its own must keep what they need."""
    for kind in data.TASKS:
        made = data.load(kind)
        own = any(made.encode is not base.encode for base in (kept.SequenceTask,)) or "decode" in vars(made)
        assert not own or made.speech is not kept.SequenceTask.speech, kind
