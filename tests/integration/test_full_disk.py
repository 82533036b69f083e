"""A disk that takes no more bytes: one line, exit status 1, the checkpoint before still loads, and the run goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TRIALS = 50 if os.environ.get("NOUNROLL_NIGHTLY") else 6


def run_full(folder: Path, trials: int, *fault: str) -> list[dict[str, Any]]:
    """What ``full_disk_runs.py`` found."""
    program, seed = Path(__file__).with_name("full_disk_runs.py"), int.from_bytes(os.urandom(4), "little")
    words = [sys.executable, program, folder, str(trials), str(seed), *fault]
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}  # a process with threads cannot be forked
    ended = subprocess.run(words, env=threads, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"seed {seed}: {ended.stderr}"
    return json.loads(ended.stdout.splitlines()[-1])["trials"]


def wrong(trial: dict[str, Any]) -> str | None:
    """What is not as it should be; None when all is."""
    error = trial["error"]
    if trial["left"] is None:
        return f"the newest checkpoint does not load: {trial}"
    if trial["status"] != 1 or trial["out"]:
        return f"it passes for saved: {trial}"
    if error.count("\n") != 1 or not error.startswith("nounroll resume: ") or "File too large" not in error:
        return f"not one line that says so: {trial}"
    return None


def test_a_full_disk_ends_a_run_and_costs_nothing(tmp_path: Path) -> None:
    trials = run_full(tmp_path, TRIALS)
    assert len(trials) == TRIALS
    assert [fault for trial in trials if (fault := wrong(trial))] == []
    assert all(trial["left"] >= 6 for trial in trials)
    assert all(trial["same"] for trial in trials), "with room again, it goes on as if nothing had been"


@pytest.mark.nightly
def test_control_a_writer_that_ignores_the_disk_is_seen(tmp_path: Path) -> None:
    faults = [wrong(trial) or "" for trial in run_full(tmp_path, 4, "ignored")]
    assert any(fault.startswith("the newest checkpoint does not load") for fault in faults)
