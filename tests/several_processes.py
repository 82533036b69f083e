"""What ``torchrun`` starts for test_processes.py: the same runs in every process; each writes what it saw.

torchrun --nproc-per-node 2 several_processes.py FOLDER
"""

import itertools
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

from helpers import FREE, tiny_recipe
from nounroll.machine import launched
from nounroll.run import train

# Few targets are scored, not equally many in each process, and all terms of ours are at work.
SETTINGS = (
    *("task.options={scored: 0.3}", "training.learning_rate=1e-3", "training.steps=9"),
    *("smt.relative=true", "smt.power=2", "smt.noise=0.5", "smt.window=3", "smt.labels_learn=0.1"),
    *("dmt.decoding=0.5", "dmt.lost=0.5", "dmt.mixing=0.5", "dmt.noise=0.3"),
)
RUNS: dict[str, tuple[str, ...]] = {
    "whole": (),
    "accumulated": ("training.accumulate=2",),
    "few": ("smt.transitions=4", "method=smt"),
    "transformer": ("method=transformer",),
}
STOP = 5  # times asked before a run is stopped


def go(case: str, folder: Path | None = None, *, resume: bool = False, stop_at: int | None = None) -> dict[str, Any]:
    """One run, and what is told of it: records by step, and the sum of all weights."""
    asked = itertools.count(1)
    with mock.patch("nounroll.training.loop.step_cost", return_value=FREE):
        recipe = tiny_recipe(*SETTINGS, *RUNS[case])
        run = train(recipe, folder=folder, resume=resume, stop=lambda: next(asked) == stop_at)
    weights = sum(float(p.detach().double().abs().sum()) for p in run.model.parameters())
    return {"history": run.history, "weights": weights, "finished": run.finished}


def on_time() -> dict[str, Any]:
    """A run by the clock. That of the second process is ten times as fast, and it is asked to stop at once."""
    rank, clock = launched()[0], time.perf_counter
    with mock.patch("nounroll.training.loop.step_cost", return_value=FREE):
        recipe = tiny_recipe("training.seconds=1", "training.evaluations=2", "method=bptt")
        with (
            mock.patch("nounroll.training.loop.time.perf_counter", side_effect=lambda: 10 * clock())
            if rank
            else nullcontext()
        ):
            run = train(recipe, stop=lambda: rank == 1)
    return {"history": run.history, "weights": 0.0, "finished": run.finished}


@contextmanager
def apart() -> Iterator[None]:
    """A planted bug: each process takes the means and the draws of its own rows."""
    with mock.patch("nounroll.training.engine.Engine._sharing", side_effect=nullcontext):
        yield


def main(folder: Path) -> None:
    rank = launched()[0]
    found = {case: go(case) for case in RUNS}
    with apart():
        found["apart"] = go("whole")
    found["stopped"] = go("whole", folder / "stopped", stop_at=STOP)
    found["resumed"] = go("whole", folder / "by-one", resume=True)
    found["on time"] = on_time()
    (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
