"""How soon the default passes what the paper's windowed scheme reaches on text in ten minutes.

    python benchmarks/race.py             both runs
    python benchmarks/race.py default     this one alone; what is kept of the other stays

Two ``nounroll train`` commands, each in a process of its own on one thread, with the processor's time in place of the
clock's: seconds are those of an idle core, whatever else runs. The windowed one has the paper's encoder, one label for
each sequence and step, the decoder over 64 targets, and what suits it of ours (readout, curriculum, schedule); it is
evaluated seldom, since its labels are slow. The other is the recipe as it is, with a tenth of the time. The answer goes
to docs/results/race-text.json, which ``benchmarks/performance.py`` reads.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from evidence import BY_PROCESSOR, RESULTS, ROOT, commit, machine

FILE = RESULTS / "race-text.json"
SECONDS = 600
RUNS = {
    "windowed": f"nounroll train recipes/text.yaml --method smt --seconds {SECONDS} --set teacher.kind=window"
    " --set smt.transitions=1 --set smt.window=1 --set smt.decoding=1 --set teacher.horizon=64"
    " --set training.evaluations=5",
    "default": f"nounroll train recipes/text.yaml --method smt+dmt --cell mlp --seconds {SECONDS // 10}",
}


def main(names: list[str]) -> int:
    answer: dict[str, Any] = json.loads(FILE.read_text()) if FILE.is_file() else {}
    for name in names or RUNS:
        where = {"command": RUNS[name], "commit": commit(), "date": str(date.today()), "where": machine()}
        answer[name] = {**run(RUNS[name]), **where}
        FILE.write_text(json.dumps(answer, indent=1) + "\n")
    return 0


def run(command: str) -> dict[str, Any]:
    """Last figures on test sequences, and [seconds, bits] of every evaluation on the way."""
    print(f"starts  {command}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = [sys.executable, "-P", "-c", BY_PROCESSOR, *shlex.split(command)[1:], "--out", str(out), "--json"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        done = subprocess.run(words, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, check=True)
        records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    evaluations = [[r["seconds"], r["bits"]] for r in records if r["event"] == "evaluation"]
    return {"metrics": json.loads(done.stdout)["metrics"], "evaluations": evaluations}


def passed(evaluations: list[list[float]], goal: float) -> float | None:
    """Seconds at the first evaluation from which on the bits stay at most ``goal``; None where they never do."""
    since = None
    for seconds, bits in evaluations:
        since = None if bits > goal else seconds if since is None else since
    return since


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
