"""Classification: ``nounroll.SequenceClassifier`` with its defaults, beside a plain LSTM, ROCKET and 1-NN DTW.

    python benchmarks/classification.py                     everything; what has an answer is not run again
    python benchmarks/classification.py gunpoint --seeds 1  some sets, some seeds
    python benchmarks/classification.py --aeon build/aeon/bin/python      ROCKET and DTW by another environment
    python benchmarks/classification.py --page              docs/classification.md from the answers that are there

Runs are processes of one thread, one at a time. Answers are kept in docs/classification/, one file a run. The LSTM's
learning rate is chosen with its first seed and kept for the others; of the sets that the everyday suite has too, it is
the one that the suite has chosen, with twice the seconds.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from classification_run import CONTENDERS
from classification_sets import SETS
from suite_jobs import chosen_words
from suite_run import ROOT

ANSWERS, PAGE = ROOT / "docs" / "classification", ROOT / "docs" / "classification.md"
SECONDS = 30.0  # of CPU time, of each run of a network
IN_SUITE = ("vowels", "gunpoint", "motions")
_ONCE = ("dtw",)  # draws nothing: one seed tells all, where the parts are the same for every seed


def answer_file(name: str, contender: str, seed: int) -> Path:
    """Where the answer of a run is kept."""
    return ANSWERS / f"{name}-{contender}-seed{seed}.json"


def words(name: str, contender: str, seed: int, seconds: float) -> list[str] | None:
    """The arguments of a run; None where the learning rate is not known yet."""
    file = answer_file(name, contender, seed)
    found = [name, contender, str(seed), f"{seconds:g}", os.path.relpath(file, ROOT)]
    if contender != "lstm" or (seed == 0 and name not in IN_SUITE):
        return found
    chosen = ROOT / "docs" / "suite" / f"{name}-lstm-seed0.json" if name in IN_SUITE else answer_file(name, "lstm", 0)
    if not chosen.is_file():
        return None
    return [*found, "--rate", f"{json.loads(chosen.read_text())['rate']:g}"]


def run(name: str, contender: str, seed: int, seconds: float, python: str) -> bool:
    """Run a job that has no answer yet; whether it has one now."""
    file = answer_file(name, contender, seed)
    if file.is_file():
        return True
    given = words(name, contender, seed, seconds)
    if given is None:
        print(f"left out {file.stem}: seed 0 has no answer, and so no learning rate", file=sys.stderr)
        return False
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [python, str(ROOT / "benchmarks" / "classification_run.py"), *given]
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        print(f"failed {file.stem}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}", file=sys.stderr)
        return False
    print(f"{file.stem}: {json.loads(file.read_text())['accuracy']:.4f}", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help="all when left out")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ... of each contender")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of CPU time, of each run of a network")
    parser.add_argument("--aeon", default=sys.executable, metavar="PYTHON", help="of the environment that has aeon")
    parser.add_argument("--page", action="store_true", help="write the page, run nothing")
    options = parser.parse_args()
    try:
        sets = chosen_words(options.sets, list(SETS), "set") or list(SETS)
        contenders = chosen_words(options.contenders.split(","), list(CONTENDERS), "contender")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    good = True
    for seed in range(0 if options.page else options.seeds):
        for name in sets:
            for contender in contenders:
                if contender in _ONCE and seed and name != "smartwatch":
                    continue
                python = options.aeon if contender in ("rocket", "dtw") else sys.executable
                good = run(name, contender, seed, options.seconds, python) and good
    from classification_page import write_page

    write_page(ANSWERS, PAGE)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
