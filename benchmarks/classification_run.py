"""One run of the classification benchmark: a set, a contender, a seed, a budget; the answer as JSON.

    python benchmarks/classification_run.py gunpoint ours 0 30 docs/classification/gunpoint-ours-seed0.json

Seconds are CPU time of this process, which has one thread. They are the budget of the networks: ours is
``nounroll.SequenceClassifier`` with nothing else set; lstm is ``nn.LSTM`` (``benchmarks/rivals.py``), with each of
three learning rates for the whole budget, chosen on its validation part, or with the one of ``--rate``. rocket and dtw
take what they need.
"""

import argparse
import os
import platform
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from classification_sets import SETS, VALIDATION, Labelled
from suite_run import ROOT, commit, write

CONTENDERS = ("ours", "lstm", "rocket", "dtw")


def ours(data: Labelled, seconds: float, seed: int) -> tuple[Any, dict[str, Any]]:
    """Classes of the test part, and what is to be told of the run."""
    import nounroll

    model = nounroll.SequenceClassifier(seconds=seconds, random_state=seed)
    assert model.validation == VALIDATION
    model.fit(data.train, data.y_train, groups=data.groups)
    told = {"chosen": model.run_.chosen.reason if model.run_.chosen else "", "steps": model.run_.metrics["steps"]}
    told |= {"method": model.run_.recipe.method, "cell": model.run_.recipe.cell.kind}
    return model.predict(data.test), told | {"validation": model.run_.metrics.get("accuracy")}


def lstm(data: Labelled, seconds: float, seed: int, rate: float | None) -> tuple[Any, dict[str, Any]]:
    """The same by a plain LSTM."""
    import rivals
    import torch
    from tuning import Budget, best_of

    problem, budget = data.problem(seed), Budget("seconds", seconds)
    rates = (rate,) if rate else rivals.RATES
    best = best_of(problem, lambda rate: rivals.train(problem, "lstm", budget, seed, rate), rates)
    classes = torch.empty(len(data.test), dtype=torch.int64)
    first = len(data.train)
    with torch.no_grad():
        for row in range(len(data.test)):
            batch = problem.batch([first + row])
            classes[row] = best.predict(batch.inputs)[0, -1].argmax()
    return classes.numpy(), {**best.told(), "validation": best.validation}


def aeon(contender: str, data: Labelled, seed: int) -> tuple[Any, dict[str, Any]]:
    """The same by ROCKET, or by the nearest neighbour under dynamic time warping, of the package aeon."""
    import classification_aeon

    return classification_aeon.predict(contender, data, seed), {}


def measured(name: str, contender: str, seed: int, seconds: float, rate: float | None) -> dict[str, Any]:
    """Train one contender on one set and score it on the test part."""
    time.perf_counter = time.process_time  # the library's seconds are of CPU time then, as the rivals' are
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    data = SETS[name](seed)
    if contender == "ours":
        import nounroll

        code = Path(str(nounroll.__file__)).parent
    else:
        code = ROOT
    start = time.process_time()
    if contender == "ours":
        found, told = ours(data, seconds, seed)
    elif contender == "lstm":
        found, told = lstm(data, seconds, seed, rate)
    else:
        found, told = aeon(contender, data, seed)
    spent = time.process_time() - start
    return {
        "set": name,
        "title": data.title,
        "contender": contender,
        "seed": seed,
        "seconds": seconds,
        "asked": data.asked,
        "train": len(data.train),
        "test": len(data.test),
        "accuracy": float((found == data.y_test).mean()),
        "cpu_seconds": round(spent, 2),
        **told,
        "commit": commit(code),
        "date": str(date.today()),
        "machine": f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("set", choices=SETS)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("seed", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rate", type=float, help="learning rate of lstm; each of three when left out")
    options = parser.parse_args()
    from suite_tasks import MissingData

    try:
        answer = measured(options.set, options.contender, options.seed, options.seconds, options.rate)
    except (MissingData, ImportError) as error:
        print(f"{options.set}, {options.contender}: {error}", file=sys.stderr)
        return 2
    write({**answer, "command": f"python benchmarks/classification_run.py {' '.join(sys.argv[1:])}"}, options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
