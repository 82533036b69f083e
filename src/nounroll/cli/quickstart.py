"""Command ``nounroll quickstart``"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from nounroll.cli.job import Job
from nounroll.cli.terminal import note, printable, watched
from nounroll.report.numbers import figure

TASKS = {"retrieval": "accuracy", "text": "bits"}  # and the most informative metric of each
CONTENDERS = {  # with cells of torch's own, plain PyTorch would train the same network
    "retrieval": (("smt+dmt", "mlp"), ("bptt", "mlp"), ("bptt", "gru")),
    "text": (("tbptt", "lstm"), ("bptt", "lstm"), ("smt+dmt", "mlp")),
}
_WRITER = "text-tbptt-lstm"  # the run whose text is shown
LENGTHS = {"retrieval": 64, "text": 128}  # T; few enough steps that a slow machine learns the first task too
SECONDS = {1: 45.0, 2: 95.0}  # budget per run, by the number of parallel runs: less than 6 minutes in total
_START = 8  # approximate seconds that a run takes in addition to its budget
_WRITTEN = 300  # number of characters

INTRODUCTION = """\
A recurrent network reads one symbol at a time and keeps a memory of fixed size. Backpropagation through time (bptt)
trains it by unrolling it over the whole sequence. Supervised Memory Training does not: a Transformer teacher says
what the memory should be after every prefix, and the network learns single steps, or a few in a row, from there
(smt); then it is corrected on the memories that it makes itself (dmt). The teacher is not needed afterwards. Truncated
backpropagation (tbptt) unrolls windows of 32 steps, and carries the memory on.

Two tasks:
  retrieval   say at the end which of 8 symbols was marked near the start (a guess gets 12.5 %)
  text        predict the next byte of Python's own standard library (knowing nothing costs 8 bits)

Each is learnt three times, {seconds:g} s and one thread each, {workers} side by side: about {minutes:.1f} minutes."""


def quickstart(
    *,
    seconds_per_run: float | None = None,
    length: int | None = None,
    workers: int | None = None,
    out: Path = Path("runs/quickstart"),
) -> dict[str, Any]:
    """Train six small networks in under six minutes, and see how they compare.

    There are two tasks. The first needs a long memory; it is learnt by SMT then DMT, by BPTT with the same cell, and by
    BPTT with a GRU. The second is text; it is learnt by truncated BPTT and by BPTT with an LSTM, and by SMT then DMT.

    Args:
        seconds_per_run: wall-clock budget of each of the six runs; 95, or 45 with a single core.
        length: T of both tasks, in time steps; 64 for the first and 128 for the second.
        workers: number of runs at the same time; 2 on a machine with two cores.
        out: folder of the runs; if it exists, a number is added to its name.
    """
    workers = min(2, _cores()) if workers is None else workers
    seconds = SECONDS[min(max(workers, 1), 2)] if seconds_per_run is None else seconds_per_run
    for name, value in (("seconds-per-run", seconds), ("length", length), ("workers", workers)):
        if value is not None and not value > 0:
            raise ValueError(f"--{name} is {value}; it must be more than 0")
    folder = _fresh(out)
    jobs = [
        Job(task, method, cell, folder / f"{task}-{method}-{cell}", seconds, measure)
        for task, measure in TASKS.items()
        for method, cell in CONTENDERS[task]
    ]
    lengths = {task: length or LENGTHS[task] for task in TASKS}
    _write_recipes(folder, lengths)
    minutes = -(-len(jobs) // workers) * (seconds + _START) / 60
    note(INTRODUCTION.format(seconds=seconds, workers=workers, minutes=minutes) + "\n")
    _train(jobs, workers)
    rows = [
        {"task": job.task, "method": job.method, "cell": job.cell, "run": str(job.folder), "metrics": job.metrics}
        for job in jobs
    ]
    result = {"folder": str(folder), "lengths": lengths, "rows": rows, "sample": _sample(folder / _WRITER)}
    (folder / "quickstart.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def show(result: dict[str, Any], console: Console) -> None:
    for task, measure in TASKS.items():
        table = Table(
            "method",
            "cell",
            title=f"{task}, T = {result['lengths'][task]}: {measure} on held-out sequences",
            title_justify="left",
        )
        columns = (measure, "steps", "tokens", "seconds")
        for name in columns:
            table.add_column(name, justify="right")
        for row in (row for row in result["rows"] if row["task"] == task):
            table.add_row(row["method"], row["cell"], *(figure(name, row["metrics"].get(name)) for name in columns))
        console.print(table)
    rule = "-" * 80
    console.print(f"\nWritten from an empty memory by the LSTM trained with tbptt, at temperature 0.8:\n{rule}")
    console.print(printable(result["sample"]), markup=False, soft_wrap=True)
    console.print(f"{rule}\nFor more: nounroll generate {result['folder']}/{_WRITER} --prompt 'def '")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fresh(out: Path) -> Path:
    """Create a new folder: ``out``, or ``out-2`` if it exists already, and so on."""
    number = 1
    while True:
        folder = out if number == 1 else out.with_name(f"{out.name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def _write_recipes(folder: Path, lengths: dict[str, int]) -> None:
    for task, length in lengths.items():
        (folder / f"{task}.yaml").write_text(f"task:\n  kind: {task}\nlength: {length}\n")


def _train(jobs: list[Job], workers: int) -> None:
    """Run the jobs, ``workers`` at a time; stop all of them if one fails or the user interrupts."""
    waiting, running = list(jobs), []
    columns = (TextColumn("{task.description:24}"), BarColumn(bar_width=24), TextColumn("{task.fields[status]}"))
    with Progress(*columns, console=Console(file=sys.stderr), disable=not watched()) as progress:
        bars = {job.name: progress.add_task(job.name, total=job.seconds, status=job.status) for job in jobs}
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    running.append(waiting.pop(0))
                    running[-1].start()
                time.sleep(0.2)
                for job in running:
                    job.look()
                    progress.update(bars[job.name], completed=job.spent, status=job.status)
                    if job.metrics is not None and not watched():
                        note(f"{job.name}: {job.status}")
                running = [job for job in running if job.metrics is None]
        finally:
            for job in running:
                if job.process is not None:
                    job.process.terminate()
                    job.process.wait()


def _sample(run: Path) -> str:
    """Generate a text by the network, without the line break that it starts from."""
    from nounroll.cli.generate import generate

    return generate(run, length=_WRITTEN, temperature=0.8)["text"][1:]
