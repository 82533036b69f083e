"""Imitation in environments that need a memory, beside a GRU in plain PyTorch at the same CPU time of training.

    python benchmarks/control.py repeat-first-hard auto 0       one answer, in docs/control/
    python benchmarks/control.py                                all that is missing, one after another
    python benchmarks/control.py --page                         docs/control/figures.md from the answers

Seconds are CPU time of training, in one thread; playing comes on top, the same for all.
"""

import argparse
import json
import os
import platform
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from suite_run import ROOT, commit, write

OUT, VALIDATION = ROOT / "docs" / "control", 20
TAPE = {"cell.tokens": 40, "cell.memory_width": 8, "training.curriculum": 0}
OURS: dict[str, dict[str, Any]] = {
    "auto": {},
    "smt+dmt-mlp": {"method": "smt+dmt", "cell": "mlp"},
    "bptt-tape": {"method": "bptt", "cell": "tape", "settings": TAPE},
}
RIVAL = "gru-torch"
ONLY = {"bptt-tape": ("repeat-previous-medium",)}  # what moves by one place at every step is a tape


def measured(name: str, contender: str, seed: int) -> dict[str, Any]:
    """Train and measure one contender.

    Raises:
        KeyError: there is no such problem or contender.
    """
    time.perf_counter = time.process_time  # the library's seconds are of CPU time then
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    import control_rival
    from control_tasks import PROBLEMS

    import nounroll
    from nounroll.control import imitate

    problem, start = PROBLEMS[name], time.process_time()
    if contender == RIVAL:
        found = control_rival.imitate(problem, seed, VALIDATION)
    else:
        done = imitate(
            problem.make,
            problem.expert,
            rounds=problem.rounds,
            episodes=problem.episodes,
            validation=VALIDATION,
            length=problem.length,
            seconds=problem.seconds,
            seed=seed,
            **OURS[contender],
        )
        recipe = done.runs[0].recipe
        found = {
            "returns": done.returns,
            "expert": done.expert_returns,
            "rounds": done.rounds,
            "chosen": f"{recipe.method} {recipe.cell.kind}",
            "steps": int(sum(run.metrics["steps"] for run in done.runs)),
        }
    return {
        "problem": name,
        "title": problem.title,
        "contender": contender,
        "seed": seed,
        "chosen": found["chosen"],
        "returns": list(found["returns"].values),
        "interval": [found["returns"].low, found["returns"].high],
        "expert_returns": list(found["expert"].values),
        "rounds": [one.mean for one in found["rounds"]],
        "episodes": problem.episodes * problem.rounds,
        "length": problem.length,
        "seconds": problem.seconds,
        "steps": found["steps"],
        "cpu_seconds_in_all": round(time.process_time() - start, 1),
        "command": f"python benchmarks/control.py {name} {contender} {seed}",
        "commit": commit(Path(nounroll.__file__).parent),
        "date": str(date.today()),
        "machine": f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", nargs="?")
    parser.add_argument("contender", nargs="?", choices=[*OURS, RIVAL])
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args(words)
    if asked.page:
        from control_page import page

        answers = [json.loads(path.read_text()) for path in sorted(OUT.glob("*-seed*.json"))]
        (OUT / "figures.md").write_text(page(answers))
    elif asked.problem:
        path = OUT / f"{asked.problem}-{asked.contender}-seed{asked.seed}.json"
        write(measured(asked.problem, asked.contender, asked.seed), path)
    else:
        from control_tasks import PROBLEMS

        for name in PROBLEMS:
            for contender in (*OURS, RIVAL):
                here = name in ONLY.get(contender, (name,))
                if here and not (OUT / f"{name}-{contender}-seed{asked.seed}.json").exists():
                    os.spawnl(os.P_WAIT, sys.executable, sys.executable, __file__, name, contender, str(asked.seed))


if __name__ == "__main__":
    main(sys.argv[1:])
