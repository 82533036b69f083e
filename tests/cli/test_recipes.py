"""The recipes that come with the project."""

from pathlib import Path

import pytest

from commands import Command
from nounroll import data
from nounroll.recipe import load

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
NEED_DATA = {"mnist", "tinystories", "array", "series"}
LENGTHS = {"keys_values": 24, "mqar": 32, "recency_primacy": 16}  # the others: 8
SMALL = (
    *("--steps", "4", "--set", "training.batch_size=2", "--set", "training.evaluation_sequences=2"),
    *("--set", "training.evaluations=1", "--set", "cell.memory_width=8", "--set", "cell.width=16"),
    *("--set", "teacher.width=16", "--set", "teacher.heads=2", "--set", "readout_width=16"),
)


def test_there_is_one_for_every_task() -> None:
    assert {load(path).task.kind for path in RECIPES} == set(data.TASKS)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_parses_and_says_what_it_is(path: Path) -> None:
    recipe = load(path)
    assert recipe.name == path.stem
    known = {option.name for option in data.describe(recipe.task.kind)[1]}
    assert recipe.task.options.keys() <= known
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert 2 <= len(comments) <= 4
    assert "2 cores" in " ".join(comments)


@pytest.mark.parametrize("path", [p for p in RECIPES if p.stem not in NEED_DATA], ids=lambda path: path.stem)
def test_it_trains(nounroll: Command, path: Path) -> None:
    assert nounroll("train", path, "--length", LENGTHS.get(path.stem, 8), *SMALL).status == 0
    assert (Path("runs") / path.stem / "student").is_dir()
