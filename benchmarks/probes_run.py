"""One run of a probe: a length, a method with a cell, a seed, a budget; the answer with its curve as JSON.

    python benchmarks/probes_run.py retrieval-256 smt+dmt/mlp 0 100 answer.json --rate 0.001,0.002,0.004,0.008

Every rate has the whole budget, and the best on the validation part is kept. ``--rate default`` is the library's own.
"""

import argparse
import os
import platform
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from probes import DEFAULT, RATES, setting
from suite_run import commit, write

SPENT = ("seconds", "tokens", "sequential_flops", "steps")  # of a point of a curve, before its accuracy


def measured(task: str, contender: str, seed: int, seconds: float, rates: str) -> dict[str, Any]:
    """Train a contender with every rate, and tell of the best run.

    Raises:
        ValueError: the library knows no such method, cell or setting.
    """
    time.perf_counter = time.process_time  # the library's seconds are of CPU time then
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    import nounroll

    runs = [_trained(task, contender, seed, seconds, rate) for rate in rates.split(",")]
    best = max(runs, key=lambda run: (run["curve"][-1][-1], -run["loss"]))
    return {
        "task": task,
        "contender": contender,
        "seed": seed,
        "seconds": seconds,
        **best,
        "tried": {f"{run['rate']:g}": run["curve"][-1][-1] for run in runs},
        "commit": commit(Path(nounroll.__file__).parent),
        "date": str(date.today()),
        "machine": f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }


def _trained(task: str, contender: str, seed: int, seconds: float, rate: str) -> dict[str, Any]:
    """Train once. The curve has the best accuracy so far on the validation part, as the best student is handed over."""
    import nounroll
    from nounroll.data import build

    probe, one = setting(task)
    method, cell, *form = contender.split("/")
    settings: dict[str, Any] = {"cell.tokens": one.tokens, "cell.memory_width": 16}
    settings |= {} if rate == DEFAULT else {"training.learning_rate": float(rate)}
    settings |= {"training.curriculum": 0} if form == ["whole"] else {}
    run = nounroll.fit(
        build(probe, dict(one.options)),
        method=method,
        cell=cell,
        length=one.length,
        seconds=seconds,
        seed=seed,
        settings=settings,
    )
    curve: list[list[float]] = []
    for row in run.history:
        if row["event"] == "evaluation":
            so_far = max(row["accuracy"], curve[-1][-1] if curve else 0.0)
            spent = [row["seconds"], row["tokens"], row["sequential_flops"], row["step"]]
            curve.append([*spent, round(so_far, 4)])
    return {
        "rate": run.recipe.training.learning_rate,
        "scores": {"accuracy": run.metrics["accuracy"]},
        "loss": run.metrics["loss"],
        "curve": curve,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task")
    parser.add_argument("contender")
    parser.add_argument("seed", type=int)
    parser.add_argument("budget", type=float, help="CPU seconds")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rate", default=RATES, help=f"learning rates to choose from, or {DEFAULT}")
    options = parser.parse_args()
    try:
        answer = measured(options.task, options.contender, options.seed, options.budget, options.rate)
    except (KeyError, ValueError) as error:
        print(f"{options.task}, {options.contender}: {error}", file=sys.stderr)
        return 2
    write({**answer, "command": f"python benchmarks/probes_run.py {' '.join(sys.argv[1:])}"}, options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
