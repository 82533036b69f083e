"""One run of the everyday suite: a task, a contender, a seed, a budget of CPU seconds; the answer as JSON.

    python benchmarks/suite_run.py digits lstm 0 100 digits-lstm-seed0.json

Seconds are CPU time of this process, which has one thread. The contender ours is the library. A rival is trained with
each of its learning rates, each with the whole budget, and chosen on the validation part; ``--rate`` gives one.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

OURS = "ours"
ROOT = Path(__file__).resolve().parents[1]


def measured(name: str, contender: str, seed: int, seconds: float, rate: float | None) -> dict[str, Any]:
    """Train one contender on one task and score it on the test part.

    Raises:
        MissingData, MissingRival: a package is not installed.
    """
    if contender == OURS:
        time.perf_counter = time.process_time  # the library's budget is of CPU time then, as the rivals' is
    import torch
    from suite_tasks import TASKS

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    problem = TASKS[name]()
    start, code = time.process_time(), ROOT
    if contender == OURS:
        import suite_ours

        code = Path(suite_ours.nounroll.__file__ or "").parent
        start = time.process_time()
        predict, told = suite_ours.fit(problem, seconds, seed)
    else:
        import rivals

        result = rivals.tuned(problem, contender, seconds, seed, (rate,) if rate else rivals.RATES)
        predict, told = result.model, {"steps": result.steps, "rate": result.rate, "tried": result.tried}
    spent = time.process_time() - start
    measure = problem.measure
    return {
        "task": name,
        "title": problem.title,
        "group": problem.group,
        "contender": contender,
        "seed": seed,
        "seconds": seconds,
        "measure": measure.name,
        "better": measure.better,
        "margin": measure.margin,
        "floor": problem.floor,
        "validation": problem.validate(predict),
        "scores": problem.scores(predict),
        "cpu_seconds": round(spent, 2),
        **told,
        "commit": commit(code),
        "date": str(date.today()),
        "machine": f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }


def commit(folder: Path) -> str:
    """The commit of the sources in a folder, with a + where they were changed since."""
    words = ["git", "-C", str(folder), "describe", "--always", "--abbrev=9", "--dirty=+", "--exclude=*"]
    return subprocess.run(words, text=True, capture_output=True, check=False).stdout.strip() or "unknown"


def write(answer: dict[str, Any], file: Path) -> None:
    """Write an answer whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(answer, indent=1, default=str) + "\n")
    part.replace(file)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task")
    parser.add_argument("contender")
    parser.add_argument("seed", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rate", type=float, help="learning rate of a rival; each of three when left out")
    options = parser.parse_args()
    from rival_models import MissingRival
    from suite_tasks import MissingData

    try:
        answer = measured(options.task, options.contender, options.seed, options.seconds, options.rate)
    except (MissingData, MissingRival) as error:
        print(f"{options.task}, {options.contender}: {error}", file=sys.stderr)
        return 2
    words = [word if " " not in word else repr(word) for word in sys.argv[1:]]
    write({**answer, "command": f"python benchmarks/suite_run.py {' '.join(words)}"}, options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
