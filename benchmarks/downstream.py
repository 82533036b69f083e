"""What pretraining is worth where labels are few: SMT and DMT, BPTT, and none.

    python benchmarks/downstream.py                        everything: hours; what has an answer is not run again
    python benchmarks/downstream.py digits --seeds 1       some sets, some seeds
    python benchmarks/downstream.py --page                 docs/downstream.md from the answers that are there

``benchmarks/downstream_run.py`` says what a run does. Runs are processes of one thread, one at a time; answers are kept
in docs/downstream/, one file a run.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from downstream_run import FEW, KILOBYTES, PRETRAINED, PRETRAINING, TEXTS, TUNED
from suite_jobs import chosen_words
from suite_run import ROOT

ANSWERS, PAGE = ROOT / "docs" / "downstream", ROOT / "docs" / "downstream.md"
SETS = ("digits", "mnist", "vowels", "smartwatch", *TEXTS)

_HEAD = f"""# Few labels: what pretraining is worth

The networks are LSTMs of one size. First they learn to predict the next step of all training sequences, without labels,
for {PRETRAINED:g} CPU seconds; then a new head and the network learn few labels of each class, for {TUNED:g} more.
"none" has {PRETRAINED + TUNED:g} CPU seconds for the labels alone, and ends earlier if its validation loss rises.
"smt+dmt, decoded" has the weight 1 on SMT's decoder, so that a memory must predict the next 16 steps. "bptt" is the
control: pretraining without a teacher (truncated BPTT on text). Where "bptt" gains as much over "none" as "smt+dmt",
the gain is due to pretraining, not to SMT.

Written by `python benchmarks/downstream.py --page` from the files in `docs/downstream/`; medians over the seeds, the
worst in brackets where there are more. Accuracy on the test part: *tuned*, the whole network; *last* and *mean*, a
logistic regression on the frozen network's last memory, and on the mean of all (`nounroll.SequenceFeatures`).

**Reading of seed 0.** Pretraining is worth much on texts, and little on labelled sequences: on the digits forty seconds
of labels alone are ahead of thirty without labels and ten with them, and on the vowels the networks are level. On the
digits the mean memory is a better feature than the last one for every network. With 10 or 30 labels a class, a logistic
regression on the mean memory of the network that BPTT pretrained is best of all. SMT's decoder helps the tuned network
with 10 and 30 labels a class, where it is ahead of BPTT's pretraining, but not with 100. On the licences BPTT's
pretraining is ahead with 10 and 100 kB, and SMT's with its decoder with 30 kB. These are single runs.
"""


def answer_file(name: str, pretraining: str, seed: int) -> Path:
    """Where the answer of a run is kept."""
    return ANSWERS / f"{_stem(name, pretraining)}{seed}.json"


def _stem(name: str, pretraining: str) -> str:
    return f"{name}-{pretraining.replace(', ', '-')}-seed"


def run(name: str, pretraining: str, seed: int) -> bool:
    """Run a job that has no answer yet; whether it has one now."""
    file = answer_file(name, pretraining, seed)
    if file.is_file():
        return True
    script, out = ROOT / "benchmarks" / "downstream_run.py", os.path.relpath(file, ROOT)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, str(script), name, pretraining, str(seed), out]
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        print(f"failed {file.stem}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}", file=sys.stderr)
        return False
    print(done.stdout, end="", flush=True)
    return True


def page(answers: list[dict[str, Any]]) -> str:
    """A table for each set and text, and the runs."""
    lines = [_HEAD]
    for name in [name for name in SETS if any(one["name"] == name for one in answers)]:
        lines += [f"## {name}", "", *_table([one for one in answers if one["name"] == name]), ""]
    lines += ["## Runs", ""]
    lines += [f"- `{one['command']}` (commit {one['commit'][:9]}, {one['date']}, {one['machine']})" for one in answers]
    return "\n".join(lines) + "\n"


def _table(answers: list[dict[str, Any]]) -> Iterator[str]:
    of_text = answers[0]["name"] in TEXTS
    key, sizes = ("kilobytes", KILOBYTES) if of_text else ("labels", FEW)
    columns = ("bits",) if of_text else ("tuned", "last", "mean")
    yield f"| {key if of_text else 'labels a class'} | pretraining | {' | '.join(columns)} | seeds |"
    yield f"| --- | --- |{' --- |' * len(columns)} --- |"
    for size in sizes:
        for pretraining in PRETRAINING:
            own = [one for one in answers if one["pretraining"] == pretraining]
            rows = [row for one in own for row in one["rows"] if row[key] == size]
            if rows:
                cells = (_figure([row[name] for row in rows if name in row], of_text) for name in columns)
                yield f"| {size} | {pretraining} | {' | '.join(cells)} | {len(rows)} |"


def _figure(values: list[float], lower_is_better: bool) -> str:
    if not values:
        return ""
    worst = max(values) if lower_is_better else min(values)
    return f"{median(values):.3f}" + (f" [{worst:.3f}]" if len(values) > 1 else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help="all when left out")
    parser.add_argument("--pretraining", nargs="+", default=list(PRETRAINING), choices=PRETRAINING)
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ...")
    parser.add_argument("--page", action="store_true", help="write the page, run nothing")
    options = parser.parse_args()
    try:
        sets = chosen_words(options.sets, list(SETS), "set") or list(SETS)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    good = True
    for seed in range(0 if options.page else options.seeds):
        for name in sets:
            for pretraining in options.pretraining:
                good &= run(name, pretraining, seed)
    answers = [
        json.loads(file.read_text())
        for name in SETS
        for pretraining in PRETRAINING
        for file in sorted(ANSWERS.glob(f"{_stem(name, pretraining)}*.json"))
    ]
    PAGE.write_text(page(answers))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
