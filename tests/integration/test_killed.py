"""Kill it anywhere, lose nothing: SIGKILL at random instants, then resume, equals a run that was never killed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KILLS = 200 if os.environ.get("NOUNROLL_NIGHTLY") else 8


def run_killed(folder: Path, kills: int, *fault: str) -> dict[str, Any]:
    """What ``killed_runs.py`` found.

    Raises:
        AssertionError: a run did not go on, or a checkpoint did not load.
    """
    program = Path(__file__).with_name("killed_runs.py")
    seed = int.from_bytes(os.urandom(4), "little")
    done = subprocess.run(
        [sys.executable, program, folder, str(kills), str(seed), *fault],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # a process with threads cannot be forked
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    return {"seed": seed, **json.loads(done.stdout.splitlines()[-1])}


def different(found: dict[str, Any]) -> list[list[int]]:
    """The runs that came to something else than the whole one: the steps of the checkpoints that they died with."""
    return [run["deaths"] for run in found["runs"] if {k: v for k, v in run.items() if k != "deaths"} != found["whole"]]


def test_a_killed_run_resumes_as_if_nothing_had_been(tmp_path: Path) -> None:
    found = run_killed(tmp_path, KILLS)
    assert found["whole"]["step"] == 12
    assert sum(len(run["deaths"]) for run in found["runs"]) == KILLS
    assert different(found) == [], f"seed {found['seed']}"
    assert found["inside"] >= KILLS // 4
    print(f"{KILLS} kills, {found['inside']} inside a save")


def test_control_a_writer_in_place_does_not_survive(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="CheckpointError"):
        run_killed(tmp_path, 16, "in place")  # ends with the first that does not load


@pytest.mark.nightly
def test_control_a_forgotten_optimiser_shows(tmp_path: Path) -> None:
    assert different(run_killed(tmp_path, 16, "without the optimiser"))
