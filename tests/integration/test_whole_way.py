"""The whole way, small, as a user goes it: an RNN learns to remember by SMT and DMT, and is judged alone."""

import json
from pathlib import Path

import pytest

from forked import run_code
from nounroll.cli.main import main
from nounroll.data.retrieval import Retrieval
from nounroll.models.student import Student
from nounroll.rollout.evaluate import evaluate, validation_batches

RECIPE = Path(__file__).parents[2] / "recipes" / "retrieval.yaml"
SMALL = ("method=smt+dmt", "cell.kind=mlp", "cell.memory_width=32", "readout_width=64", "training.evaluations=2")


def words(length: int, rows: int, steps: int, folder: Path) -> list[str]:
    command = ["train", str(RECIPE), "--length", str(length), "--steps", str(steps), "--out", str(folder), "--json"]
    return [*command, *(word for one in (*SMALL, f"training.batch_size={rows}") for word in ("--set", one))]


def accuracy(length: int, folder: Path) -> float:
    """Of the network that a run leaves behind, on sequences of its own, from the empty memory."""
    student = Student.from_pretrained(folder / "student")
    return evaluate(student, validation_batches(Retrieval(), 256, length, seed=1))["accuracy"]


@pytest.mark.parametrize(
    ("length", "rows", "steps"), [(16, 32, 240), pytest.param(32, 64, 300, marks=pytest.mark.nightly)]
)
def test_retrieval_is_learnt_to_99_percent(length: int, rows: int, steps: int, tmp_path: Path) -> None:
    """A network that was hardly trained guesses, at 1 in 8."""
    assert main(words(length, rows, 2, tmp_path / "hardly")) == 0
    assert accuracy(length, tmp_path / "hardly") < 0.3
    command = words(length, rows, steps, tmp_path / "trained")
    status, printed = run_code(f"from nounroll.cli.main import main; sys.exit(main({command}))", tmp_path)
    assert status == 0, printed
    assert json.loads(printed.splitlines()[-1])["finished"]
    assert accuracy(length, tmp_path / "trained") >= 0.99
