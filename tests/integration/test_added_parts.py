"""A package adds a cell, a task, a space, a teacher and a method by entry points, and touches no file of nounroll's."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from added_parts import ENTRY_POINTS
from commands import PYTHON, TINY

RECIPE: dict[str, Any] = {
    **yaml.safe_load(TINY),
    "name": "added",
    "task": {"kind": "echo", "options": {"symbols": 4}},
    "method": "smt+last_step",
    "cell": {"kind": "leaky", "tokens": 2, "memory_width": 8},
}
RECIPE["teacher"]["kind"] = "averaged"

OPENED = """
import json, sys
from nounroll.cli.main import main
from nounroll.models.student import Student
student = Student.from_pretrained(f"{sys.argv[1]}/student")
print(json.dumps([type(student.cell).__name__, repr(student.targets)]))
sys.exit(main(["report", sys.argv[1], "--sequences", "4"]))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder as pip would leave it."""
    folder = tmp_path / "site"
    about = folder / "added_parts-1.0.dist-info"
    about.mkdir(parents=True)
    shutil.copy(Path(__file__).parents[1] / "added_parts.py", folder)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: added-parts\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def run(package: Path, *words: object, python: list[str] = PYTHON) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [*python, *map(str, words)], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )


def test_one_part_of_each_kind_is_trained_opened_and_reported(package: Path, tmp_path: Path) -> None:
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(yaml.safe_dump(RECIPE))
    trained = run(package, "train", recipe, "--out", out, "--json")
    assert trained.returncode == 0, trained.stderr
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {one["method"] for one in records} == {"smt", "last_step"}
    assert any(one["event"] == "teacher" for one in records)
    opened = run(package, "-c", OPENED, out, python=[sys.executable])
    assert opened.returncode == 0, opened.stderr
    assert json.loads(opened.stdout.splitlines()[0]) == ["LeakyCell", "Letters(n=4)"]
    assert "It learnt from last steps." in (out / "report.html").read_text()
