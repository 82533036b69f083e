"""Runs of version 0.1 open: recipe, student, teacher and figures. One is kept in fixtures."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nounroll.cells import CellSettings, build_cell
from nounroll.cells.mlp import MLPCell
from nounroll.core.batch import Categorical
from nounroll.experiments.former import is_former, renewed
from nounroll.experiments.recipe import Recipe, load, parse
from nounroll.experiments.run import train
from nounroll.experiments.run_folder import open_run, open_student, open_teacher
from nounroll.models.student import Student, cell_settings
from nounroll.rollout.evaluate import evaluate, validation_batches
from nounroll.storage.checkpoint import CheckpointError

RUN = Path(__file__).parents[1] / "fixtures" / "run-0.1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUN, tmp_path / "run"))


def test_a_recipe_of_0_1_has_todays_names(folder: Path) -> None:
    recipe = open_run(folder)[0]
    assert recipe.method == "smt+tbptt"  # on Parity its dmt took nothing of its teacher
    assert (recipe.tbptt.window, recipe.tbptt.carry) == (32, True)
    assert (recipe.smt.window, recipe.smt.share, recipe.teacher.width) == (8, 0.33, 8)
    assert (recipe.training.curriculum, recipe.training.budget.to_dict()) == (16, {"steps": 12})


def test_a_student_and_a_teacher_of_0_1_work(folder: Path) -> None:
    recipe, task, student = open_student(folder)
    batches = validation_batches(task, 16, recipe.length, 0)
    assert 0 < evaluate(student, batches)["loss"] < 2
    teacher = open_teacher(folder, student)
    assert teacher is not None
    assert teacher.memories(batches[0].inputs).shape == (16, 9, 1, 4)


def test_an_mlp_whose_sizes_0_1_left_open_has_those_of_0_1() -> None:
    former: dict[str, Any] = {"kind": "mlp", "tokens": 2, "memory_width": 8, "width": None, "layers": None}
    cell = build_cell(cell_settings(former), Categorical(3))
    assert isinstance(cell, MLPCell)
    assert (cell.read.out_features, len(cell.hidden)) == (32, 0)
    assert (cell_settings({**former, "kind": "gru"}).width, cell_settings({**former, "width": 5}).width) == (0, 5)


def test_a_student_says_the_sizes_that_its_cell_has_chosen() -> None:
    """So that a later version whose cells choose otherwise opens it."""
    config = Student(Categorical(3), Categorical(3), CellSettings(kind="mlp", tokens=2, memory_width=8)).to_config()
    assert (config["cell"]["width"], config["cell"]["layers"]) == (16, 2)


def test_an_interrupted_run_of_0_1_says_that_it_cannot_go_on(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="train a new run"):
        train(open_run(folder)[0], folder=folder, resume=True)


def test_a_pull_to_the_teacher_stays_dmt(folder: Path) -> None:
    text = (folder / "recipe.yaml").read_text().replace("dynamics: 0.0", "dynamics: 1.0")
    (folder / "recipe.yaml").write_text(text.replace("curriculum: true", "curriculum: false"))
    recipe = load(folder / "recipe.yaml")
    assert (recipe.method, recipe.dmt.dynamics, recipe.training.curriculum) == ("smt+dmt", 1.0, 0)


def test_a_recipe_of_today_is_left_as_it_is() -> None:
    document = json.loads(json.dumps(parse({"task": {"kind": "parity"}, "length": 8}).to_dict()))
    assert not is_former(document)
    assert isinstance(parse(document), Recipe)


def test_control_a_name_that_is_gone_is_still_refused() -> None:
    with pytest.raises(ValueError, match=r"dmt\.mixing is unknown"):
        parse({"task": {"kind": "parity"}, "length": 8, "dmt": {"mixing": 0.5}})
    assert "mixing" not in renewed(load_text())["dmt"]


def load_text() -> dict[str, object]:
    import yaml

    return yaml.safe_load((RUN / "recipe.yaml").read_text())
