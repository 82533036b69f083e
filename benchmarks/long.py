"""Memory over long sequences: Retrieval trained at T = 1,024 and 16,384, then rolled out over 100,000 steps.

    python benchmarks/long.py                     what has no answer yet: about two hours on one core
    python benchmarks/long.py 1024 --jobs 1       one of the lengths
    python benchmarks/long.py --page              docs/long.md from the answers that are there

One symbol is shown early among noise, and asked for at the end. Every run is a process of one thread with a budget of
CPU seconds, and learns by ``nounroll.fit`` with the method, the cell and a memory of 256 numbers set. The peak of its
resident memory is read after training. Its student alone then reads longer sequences from the empty memory. Answers are
kept in docs/long/, one file a run.
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from suite_jobs import Job, chosen_words, run_all
from suite_run import ROOT, commit, write
from tuning import Budget

ANSWERS, PAGE = ROOT / "docs" / "long", ROOT / "docs" / "long.md"
MEMORY = ANSWERS / "memory.json"  # of long_memory.py
READ, SEQUENCES = (10_000, 100_000), 64  # lengths and number of the sequences that a trained student reads
CONTENDERS = {1024: ("smt+dmt/mlp", "tbptt/mlp", "bptt/mlp", "bptt/gru"), 16384: ("smt+dmt/mlp", "bptt/gru")}
SECONDS = {1024: 200.0, 16384: 900.0}
BATCH = {1024: 16, 16384: 4}  # sequences of a step

ABOUT = """\
# Memory over long sequences

Retrieval: one of eight symbols is shown early among noise, and asked for at the end; a guess is right in 0.125. Each
network learns by `nounroll.fit` at the length T, with its method, its cell, a memory of 256 numbers and the length
curriculum. Then it alone reads {sequences} longer sequences from the empty memory. Written by
`python benchmarks/long.py` from the files in `docs/long/`; every run had one thread. A run that is missing was not
measured. The memory is the peak of the process, torch included, which takes about 400 MiB by itself.

![Accuracy of each network against the length that it reads](long/accuracy.png)

| T | method, cell | CPU seconds | steps | accuracy at T | over 10,000 steps | over 100,000 steps | peak memory, MiB |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Long(Job):
    """One run. ``task`` is the length."""

    @property
    def words(self) -> list[str]:
        script = str(ROOT / "benchmarks" / "long.py")
        return [script, "--measure", self.task, self.contender, str(self.seed), os.path.relpath(self.file, ROOT)]


def measured(length: int, contender: str, seed: int) -> dict[str, Any]:
    """Train once, and let the student read longer sequences."""
    time.perf_counter = time.process_time  # the library's seconds are of CPU time then
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    import nounroll
    from nounroll.data.retrieval import Retrieval

    method, cell = contender.split("/")
    run = nounroll.fit(
        Retrieval(),
        method=method,
        cell=cell,
        length=length,
        seconds=SECONDS[length],
        seed=seed,
        settings={"cell.tokens": 16, "cell.memory_width": 16, "training.batch_size": BATCH[length]},
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 2**20)
    return {
        "length": length,
        "contender": contender,
        "seed": seed,
        "seconds": SECONDS[length],
        "steps": run.metrics["steps"],
        "scores": {"accuracy": run.metrics["accuracy"], **{f"over {n}": recalled(run.student, n) for n in READ}},
        "peak": round(peak),
        "commit": commit(Path(nounroll.__file__).parent),
        "date": str(date.today()),
        "machine": f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }


def recalled(student: Any, length: int) -> float:
    """Accuracy of a student that reads sequences of a length from the empty memory, a part at a time."""
    import torch

    from nounroll.data.retrieval import Retrieval

    batch = Retrieval().sample(SEQUENCES, length, torch.Generator().manual_seed(7))
    memory, right, asked = None, 0, 0
    with torch.no_grad():
        for begin in range(0, length, 1000):
            part = slice(begin, begin + 1000)
            outputs, memory = student.outputs(batch.inputs[:, part], memory)
            mask = batch.mask[:, part]
            right += int((outputs.argmax(-1) == batch.targets[:, part])[mask].sum())
            asked += int(mask.sum())
    return right / asked


def write_page() -> None:
    """Write the page from the answers that are there."""
    lines, said, curves = [], [], {}
    for length, contenders in CONTENDERS.items():
        for contender in contenders:
            for file in sorted(ANSWERS.glob(f"{length}-{contender.replace('/', '-')}-seed*.json")):
                one = json.loads(file.read_text())
                curves[f"{contender}, T = {length:,}"] = [(length, *READ), list(one["scores"].values())]
                told = " | ".join(f"{score:.3f}" for score in one["scores"].values())
                name = contender.replace("/", ", ")
                lines.append(
                    f"| {length:,} | {name} | {one['seconds']:g} | {one['steps']:,.0f} | {told} | {one['peak']:,} |"
                )
                said.append(
                    f"- {length:,}, {name}: seed {one['seed']}, commit {one['commit']}, {one['date']}, {one['machine']}"
                )
    draw(curves)
    text = ABOUT.replace("{sequences}", str(SEQUENCES))
    PAGE.write_text(text + "\n".join([*lines, "", *memory(), "Where the runs were made:", "", *said]) + "\n")


def memory() -> list[str]:
    """Lines about the peak memory of one step, if it was measured."""
    if not MEMORY.is_file():
        return []
    found = json.loads(MEMORY.read_text())
    steps, most = found["steps"], found["steps"]["bptt stepped"]["MiB"]
    return [
        "## One training step",
        "",
        f"At T = {found['length']:,}, {found['rows']} sequences, above the process before the step. By chunks:"
        f" `smt.chunk={found['chunk']}`, the same losses and gradients. Of DMT only, because SMT trains this teacher on"
        " at most 128 steps (256 when this was measured). Single runs of"
        f" `python benchmarks/long_memory.py`, commit {found['commit']},"
        f" {found['date']}.",
        "",
        "| step | peak memory, MiB | of stepped BPTT | CPU seconds |",
        "|---|---|---|---|",
        *(
            f"| {name} | {one['MiB']:,} | {one['MiB'] / most:.2f} | {one['CPU seconds']:.1f} |"
            for name, one in steps.items()
        ),
        "",
    ]


def draw(curves: dict[str, Any]) -> None:
    """Draw the accuracy of each network against the length that it reads."""
    from nounroll.report.style import panels, styled

    with styled():
        figure, ax = panels(height=3.2)
        for name, (lengths, scores) in curves.items():
            ax.plot(
                *zip(*sorted(zip(lengths, scores, strict=True)), strict=True),
                "o-" if name.startswith("smt") else "s--",
                label=name,
            )
        ax.axhline(1 / 8, color="grey", lw=1)
        ax.text(READ[-1], 1 / 8, "a guess", ha="right", va="bottom", color="grey")
        ax.set(xscale="log", xlabel="time steps that are read", ylabel="accuracy", ylim=(0, 1.05))
        ax.legend(loc="center left", fontsize="small")
        figure.savefig(ANSWERS / "accuracy.png", dpi=150)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lengths", nargs="*", metavar="LENGTH", help="all when left out")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ... of each contender")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--again", action="store_true", help="also those that have an answer")
    parser.add_argument("--page", action="store_true", help="write the page, run nothing")
    parser.add_argument("--measure", nargs=4, metavar=("LENGTH", "CONTENDER", "SEED", "FILE"), help="one run")
    options = parser.parse_args()
    if options.measure:
        length, contender, seed, file = options.measure
        write(measured(int(length), contender, int(seed)), Path(file))
        return 0
    try:
        lengths = chosen_words(options.lengths, list(map(str, CONTENDERS)), "length") or list(map(str, CONTENDERS))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    jobs = [
        Long(length, contender, seed, Budget("seconds", SECONDS[int(length)]), ANSWERS)
        for length in lengths
        for contender in CONTENDERS[int(length)]
        for seed in range(options.seeds)
    ]
    good = options.page or run_all(jobs, options.jobs, again=options.again)
    write_page()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
