"""Kill it anywhere, lose nothing: SIGKILL at random instants, then resume, equals a run that was never killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

KILLS = 200 if os.environ.get("NOUNROLL_NIGHTLY") else 8


def test_a_killed_run_resumes_as_if_nothing_had_been(tmp_path: Path) -> None:
    program = Path(__file__).with_name("killed_runs.py")
    seed = int.from_bytes(os.urandom(4), "little")
    done = subprocess.run(
        [sys.executable, program, tmp_path, str(KILLS), str(seed)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # a process with threads cannot be forked
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    found = json.loads(done.stdout.splitlines()[-1])
    whole = found["whole"]
    assert whole["step"] == 12
    assert sum(len(run["deaths"]) for run in found["runs"]) == KILLS
    for run in found["runs"]:
        deaths = run.pop("deaths")
        assert run == whole, f"seed {seed}, killed with checkpoints of steps {deaths}"
