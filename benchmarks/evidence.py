"""Measure what each method is worth, and write docs/results.md.

    python benchmarks/evidence.py                 everything: about twenty minutes on 2 cores
    python benchmarks/evidence.py retrieval       only measurements whose name starts so; the others' files stay

On every task the same cell is trained by smt+dmt, by truncated BPTT with the same windows and batches, and by BPTT,
under the same budget: what SMT adds is the difference. Text is measured by benchmarks/text.py, and how the defaults do
beside plain PyTorch on everyday tasks by benchmarks/suite.py.

Every measurement is one ``nounroll compare`` in a process of one thread; as many run side by side as there are cores.
Its clock is the processor's time that it has used: seconds are those of a core that does nothing else. Its answer is
kept in docs/results/NAME.json, and the page is written from these files.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
BY_PROCESSOR = (
    "import sys, time; time.perf_counter = time.process_time; from nounroll.cli.main import main; sys.exit(main())"
)
Rows = dict[tuple[str, str], dict[str, Any]]  # (method, cell) -> a row of ``nounroll compare``


@dataclass(frozen=True)
class Measurement:
    """One command. ``name`` is TASK/WHAT; all measurements of a task share a table."""

    name: str
    arguments: str

    @property
    def task(self) -> str:
        return self.name.split("/")[0]

    @property
    def file(self) -> Path:
        return RESULTS / f"{self.name.replace('/', '-').replace(' ', '-')}.json"

    @property
    def command(self) -> str:
        return f"nounroll compare {self.arguments}"


def _methods(task: str, seconds: int, contenders: str, more: str = "") -> list[Measurement]:
    """Each of the contenders METHOD/CELL, by the defaults for the data."""
    found = []
    for contender in contenders.split():
        method, cell = contender.split("/")
        arguments = f"recipes/{task}.yaml --seconds {seconds}{more} --methods {method} --cells {cell}"
        found.append(Measurement(f"{task}/{method}-{cell}", arguments))
    return found


_MLP = "smt+dmt/mlp tbptt/mlp bptt/mlp"
MEASUREMENTS = [
    *_methods("retrieval", 100, f"{_MLP} bptt/gru"),
    *_methods("keys_values", 200, f"{_MLP} bptt/gru"),
    *_methods("parity", 60, _MLP, " --lengths 512"),
    Measurement(
        "parity/tbptt-mlp-one-step",  # gradients go through a single step of the cell
        "recipes/parity.yaml --seconds 60 --lengths 512 --methods tbptt --cells mlp --set tbptt.window=1",
    ),
]


@dataclass(frozen=True)
class Claim:
    """A sentence that the figures must bear out; it is written down as failed when they do not."""

    task: str
    sentence: str
    holds: Callable[[Rows], tuple[str, bool]]


def _least(rows: Rows, method: str, cell: str, metric: str, least: float) -> tuple[str, bool]:
    """Every seed reaches ``least``."""
    values = [run[metric] for run in rows[method, cell]["runs"]]
    return ", ".join(f"{value:.4f}" for value in values), min(values) >= least


def _both_lengths(rows: Rows, method: str, cell: str) -> tuple[str, bool]:
    """A method at the length it was trained on, and at 512."""
    here, there = (_least(rows, method, cell, *m) for m in (("accuracy", 0.999), ("accuracy@512", 0.99)))
    return f"{here[0]}; {there[0]}", here[1] and there[1]


def _below(rows: Rows, method: str, cell: str, limit: float) -> tuple[str, bool]:
    """The accuracy of every seed stays below ``limit``."""
    values = [run["accuracy"] for run in rows[method, cell]["runs"]]
    return ", ".join(f"{value:.4f}" for value in values), max(values) < limit


CLAIMS = [
    Claim(
        "retrieval",
        "smt+dmt with the MLP cell recalls at T = 256 from an empty memory: accuracy at least 0.99",
        lambda rows: _least(rows, "smt+dmt", "mlp", "accuracy", 0.99),
    ),
    Claim(
        "retrieval",
        "truncated BPTT of the same MLP cell, windows and batches recalls less: accuracy below 0.95",
        lambda rows: _below(rows, "tbptt", "mlp", 0.95),
    ),
    Claim(
        "retrieval",
        "BPTT of the same MLP cell recalls less: accuracy below 0.95",
        lambda rows: _below(rows, "bptt", "mlp", 0.95),
    ),
    Claim(
        "keys_values",
        "smt+dmt with the MLP cell recalls 8 pairs: accuracy at least 0.95",
        lambda rows: _least(rows, "smt+dmt", "mlp", "accuracy", 0.95),
    ),
    *(
        Claim(
            "keys_values",
            f"{method} of the same MLP cell stays below 0.5, so SMT is what teaches it",
            lambda rows, method=method: _below(rows, method, "mlp", 0.5),
        )
        for method in ("tbptt", "bptt")
    ),
    *(
        Claim(
            "parity",
            f"trained at T = 64, {method} (MLP) has accuracy at least 0.999 there and 0.99 at T = 512",
            lambda rows, method=method: _both_lengths(rows, method, "mlp"),
        )
        for method in ("smt+dmt", "tbptt", "bptt")
    ),
    Claim(
        "parity",
        "truncated BPTT through a single step is enough, without a teacher: SMT adds nothing here",
        lambda rows: _both_lengths(rows, "tbptt", "mlp-one-step"),
    ),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="starts of names of measurements; all when left out")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="commands side by side")
    parser.add_argument("--page-only", action="store_true", help="write the page from the files that are there")
    options = parser.parse_args()
    chosen = [m for m in MEASUREMENTS if not options.names or m.name.startswith(tuple(options.names))]
    RESULTS.mkdir(parents=True, exist_ok=True)
    if not options.page_only:
        with ThreadPoolExecutor(options.workers) as pool:
            failed = [m.name for m, good in zip(chosen, pool.map(measure, chosen), strict=True) if not good]
        if failed:
            print(f"failed: {', '.join(failed)}", file=sys.stderr)
            return 1
    (ROOT / "docs" / "results.md").write_text(page())
    return 0


def measure(measurement: Measurement) -> bool:
    """Run the command of one; keep its answer, with where and when it was measured."""
    start = time.monotonic()
    print(f"starts  {measurement.name}: {measurement.command}", flush=True)
    words = [sys.executable, "-P", "-c", BY_PROCESSOR, *shlex.split(measurement.command)[1:], "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(words, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        print(f"failed  {measurement.name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return False
    found = json.loads(done.stdout)
    answer = {**found, "command": measurement.command, "commit": commit(), "date": str(date.today())}
    measurement.file.write_text(json.dumps({**answer, "machine": machine(), "clock": "processor"}, indent=1) + "\n")
    print(f"done    {measurement.name} after {time.monotonic() - start:.0f} s", flush=True)
    return True


# -- the page -------------------------------------------------------------------------------------


def page() -> str:
    """docs/results.md from the files in docs/results/."""
    answers = {m: json.loads(m.file.read_text()) for m in MEASUREMENTS if m.file.is_file()}
    lines = [
        "# Measured results",
        "",
        "Written by `make evidence` (`benchmarks/evidence.py`) from the files in `docs/results/`. Every run had one",
        "thread; two ran side by side. Seconds are a run's whole budget, evaluations included: CPU seconds if the line",
        'of its command says "processor\'s seconds", otherwise wall-clock seconds. Figures are those of the student',
        "alone, rolled out from the empty memory on held-out sequences. Learning rates are chosen on other held-out",
        "sequences; a single rate means that no other was tried. Rows of a table may come from different commits and",
        "budgets: see the commands below it. The load of the machine varied, so compare seconds within a commit only;",
        "steps and FLOPs compare all rows.",
        "",
    ]
    for task in dict.fromkeys(m.task for m in answers):
        mine = {m: answer for m, answer in answers.items() if m.task == task}
        lines += [f"## {task}", "", *_table(mine), "", *_claims(task, mine), "", "Commands:", ""]
        lines += [f"- `{a['command']}` ({_where(a)})" for a in mine.values()]
        lines += [""]
    return "\n".join(lines)


def _where(answer: dict[str, Any]) -> str:
    seconds = ["processor's seconds"] if answer.get("clock") == "processor" else []
    return ", ".join([answer["date"], f"commit {answer['commit']}", answer["machine"], *seconds])


def _rows(answers: dict[Measurement, Any]) -> Rows:
    """Rows by (method, cell); what a name adds after the cell is part of it."""
    return {
        (row["method"], m.name.split("/")[1].removeprefix(f"{row['method']}-")): row
        for m, answer in answers.items()
        for row in answer["rows"]
    }


def _table(answers: dict[Measurement, Any]) -> list[str]:
    rows = _rows(answers)
    longer = sorted({n for row in rows.values() for n in row["metrics"] if n.startswith("accuracy@")})
    head = ["method", "cell", "bits", "accuracy", *longer, "seeds", "learning rates tried", "best", "steps", "tokens"]
    head += ["FLOPs", "sequential FLOPs", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for (method, cell), row in rows.items():
        m = row["metrics"]
        values = [method, cell, f"{m['bits']:.4f}", f"{m['accuracy']:.4f}"]
        values += [f"{m[n]:.4f}" if n in m else "" for n in longer] + [row["seeds"], ", ".join(row["tried"])]
        values += [f"{row['learning_rate']:g}", f"{m['steps']:,.0f}", f"{m['tokens']:,.0f}"]
        values += [f"{m['flops']:.2e}", f"{m['sequential_flops']:.2e}", f"{m['seconds']:.0f}"]
        lines.append("| " + " | ".join(map(str, values)) + " |")
    return lines


def _claims(task: str, answers: dict[Measurement, Any]) -> list[str]:
    rows, lines = _rows(answers), []
    for claim in (claim for claim in CLAIMS if claim.task == task):
        try:
            value, holds = claim.holds(rows)
            lines.append(f"- {'**holds**' if holds else '**does not hold**'}: {claim.sentence} ({value})")
        except KeyError:
            lines.append(f"- **not measured**: {claim.sentence}")
    return lines


def commit() -> str:
    words = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, cwd=ROOT, text=True, capture_output=True, check=False).stdout.strip() or "unknown"


def machine() -> str:
    import torch

    return f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"


if __name__ == "__main__":
    sys.exit(main())
