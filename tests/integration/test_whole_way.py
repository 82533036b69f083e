"""The whole way, small, as a user goes it: an RNN learns to remember by SMT and DMT, and is judged alone."""

import json
import subprocess
from pathlib import Path

from commands import PYTHON
from nounroll.data.retrieval import Retrieval
from nounroll.models.student import Student
from nounroll.rollout.evaluate import evaluate, validation_batches

RECIPE = Path(__file__).parents[2] / "recipes" / "retrieval.yaml"
SMALL = ("method=smt+dmt", "cell.kind=mlp", "cell.memory_width=32", "readout_width=64", "training.evaluations=2")


def accuracy(steps: int, folder: Path) -> float:
    """Of the network that so many steps leave behind, on sequences of its own, from the empty memory."""
    words = [*PYTHON, "train", str(RECIPE), "--length", "32", "--steps", str(steps), "--out", str(folder), "--json"]
    done = subprocess.run([*words, *(word for one in SMALL for word in ("--set", one))], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["finished"]
    student = Student.from_pretrained(folder / "student")
    return evaluate(student, validation_batches(Retrieval(), 256, 32, seed=1))["accuracy"]


def test_retrieval_at_32_is_learnt_to_99_percent(tmp_path: Path) -> None:
    """In about 20 s of one core. A network that was hardly trained guesses, at 1 in 8."""
    assert accuracy(2, tmp_path / "hardly") < 0.3
    assert accuracy(300, tmp_path / "trained") >= 0.99
