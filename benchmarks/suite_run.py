"""One run of the everyday suite: a task, a contender, a seed, a budget; the answer as JSON.

    python benchmarks/suite_run.py digits lstm 0 100 digits-lstm-seed0.json
    python benchmarks/suite_run.py text tbptt/gru 0 2000000 text-tbptt-gru-seed0.json --unit tokens

A budget is in seconds of CPU time of this process, which has one thread, or in tokens. The contender ours is the
library with nothing set. METHOD/CELL is the library with these two; it, or a rival, is trained with each of its
learning rates, each with the whole budget, and chosen on the validation part. ``--rate`` gives one.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

from tuning import UNITS, Budget, best_of

OURS = "ours"
ROOT = Path(__file__).resolve().parents[1]


def measured(name: str, contender: str, seed: int, budget: Budget, rate: float | None) -> dict[str, Any]:
    """Train one contender on one task and score it on the test part.

    Raises:
        MissingData, MissingRival: a package is not installed.
        ValueError: the library knows no such method or cell.
    """
    of_library = contender == OURS or "/" in contender
    if of_library:
        time.perf_counter = time.process_time  # the library's seconds are of CPU time then, as the rivals' are
    import torch
    from suite_tasks import TASKS

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    problem = TASKS[name]()
    side: Any = import_module("suite_ours" if of_library else "rivals")
    code = Path(side.nounroll.__file__).parent if of_library else ROOT
    start = time.process_time()
    if contender == OURS:
        predict, told = side.fit(problem, budget, seed)
    else:
        rates = (rate,) if rate else side.RATES
        result = best_of(problem, lambda rate: side.train(problem, contender, budget, seed, rate), rates)
        predict, told = result.predict, result.told()
    spent = time.process_time() - start
    measure = problem.measure
    return {
        "task": name,
        "title": problem.title,
        "group": problem.group,
        "contender": contender,
        "seed": seed,
        **budget.named,
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
    """The commit that a folder is at, with a + where the code was changed since. Renewed answers are no code."""
    git = ["git", "-C", str(folder)]
    words = [*git, "rev-parse", "--short=9", "HEAD"]
    name = subprocess.run(words, text=True, capture_output=True, check=False).stdout.strip()
    if not name:
        return "unknown"
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", ":/src", ":/benchmarks"], check=False).returncode
    return f"{name}+" if changed else name


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
    parser.add_argument("budget", type=float)
    parser.add_argument("file", type=Path)
    parser.add_argument("--unit", choices=UNITS, default="seconds", help="of the budget")
    parser.add_argument("--rate", type=float, help="learning rate of all but ours; each of three when left out")
    options = parser.parse_args()
    from rival_models import MissingRival
    from suite_tasks import MissingData

    try:
        budget = Budget(options.unit, options.budget)
        answer = measured(options.task, options.contender, options.seed, budget, options.rate)
    except (MissingData, MissingRival, ValueError) as error:
        print(f"{options.task}, {options.contender}: {error}", file=sys.stderr)
        return 2
    words = [word if " " not in word else repr(word) for word in sys.argv[1:]]
    write({**answer, "command": f"python benchmarks/suite_run.py {' '.join(words)}"}, options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
