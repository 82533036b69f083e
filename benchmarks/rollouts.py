"""Rollouts parallel over time: how many iterations they take, against T and against how contractive the cell is.

    python benchmarks/rollouts.py

Small students (4 tokens of 16) are trained by smt+dmt for a number of steps at T = 128, and rolled out over up to 1,024
steps of held-out sequences by each solver, until no memory moves by more than 1e-5; beside them a GRU that was not
trained, whose recurrent weights are scaled up until it is chaotic. The answer goes to docs/results/rollouts.json and
docs/rollouts.png; ``benchmarks/performance.py`` writes it down. About five minutes on one core.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date
from typing import Any, get_args

import torch
from evidence import RESULTS, ROOT, commit, machine

from nounroll import fit
from nounroll.analysis.contraction import contraction
from nounroll.cells.base import CellSettings
from nounroll.core.seeding import generator
from nounroll.data.retrieval import Retrieval
from nounroll.data.task import SequenceTask, draw
from nounroll.data.text import Text
from nounroll.methods.flops import count_flops
from nounroll.models.student import Student
from nounroll.report.style import panels, styled
from nounroll.rollout.parallel import Solver, parallel_rollout

FILE, PICTURE = RESULTS / "rollouts.json", ROOT / "docs" / "rollouts.png"
LENGTHS = (64, 256, 1024)
TRAINED = (("text", "gru", 400), ("text", "mlp", 400), ("retrieval", "mlp", 600), ("retrieval", "gru", 600))
GAINS = (1, 4, 8, 16, 32)  # of an untrained GRU's recurrent weights
TASKS: dict[str, SequenceTask] = {"text": Text(), "retrieval": Retrieval()}
SMALL = {"cell.tokens": 4, "cell.memory_width": 16, "teacher.width": 64, "readout_width": 128}
TOLERANCE, MOST = 1e-5, 64
Labels = Callable[[torch.Tensor], torch.Tensor]


def main() -> int:
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for task, cell, steps in TRAINED:
        run = fit(TASKS[task], cell=cell, length=128, steps=steps, settings=SMALL)
        assert run.teacher is not None
        about = {"name": f"{task}, {cell}", "accuracy": run.metrics["accuracy"]}
        rows += [about | row for row in rolled_out(run.student, TASKS[task], LENGTHS, run.teacher.memories)]
    for gain in GAINS:
        about = {"name": f"untrained, gru, weights x {gain}"}
        rows += [about | row for row in rolled_out(untrained(gain), TASKS["text"], LENGTHS[-1:])]
    where = {"command": "python benchmarks/rollouts.py", "commit": commit(), "date": str(date.today())}
    FILE.write_text(json.dumps({"rows": rows, **where, "where": machine()}, indent=1) + "\n")
    picture(rows)
    return 0


def untrained(gain: float) -> Student:
    torch.manual_seed(0)
    space = TASKS["text"].inputs
    student = Student(space, space, CellSettings(kind="gru", tokens=4, memory_width=16)).eval()
    with torch.no_grad():
        student.cell.core.weight_hh_l0.mul_(gain)
    return student


@torch.no_grad()
def rolled_out(
    student: Student, task: SequenceTask, lengths: tuple[int, ...], labels: Labels | None = None
) -> list[dict[str, Any]]:
    """A row for each length and solver, and for Newton's with the teacher's labels as the first guess."""
    student.requires_grad_(False)
    rows = []
    for length in lengths:
        inputs = draw(task.validation(), 1, length, 0, "rollouts").inputs
        start = time.process_time()
        alone = student.stepped_rollout(inputs)
        stepped = time.process_time() - start
        exponent = contraction(student, inputs, generator(0, "rollouts"))
        one_by_one = count_flops(lambda inputs=inputs: student.stepped_rollout(inputs))[0]
        guesses = dict.fromkeys(get_args(Solver))
        guesses |= {} if labels is None else {"newton from labels": labels(inputs)[:, 1:]}
        for solver, guess in guesses.items():

            def solve(solver: str = solver, guess: Any = guess, inputs: torch.Tensor = inputs) -> Any:
                return parallel_rollout(
                    student, inputs, solver=solver.split()[0], tolerance=TOLERANCE, iterations=MOST,
                    chunk=inputs.shape[1], guess=guess,
                )  # fmt: skip

            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what did not converge is told by "stepped"
                found = solve()
                taken = time.process_time() - start
                flops = count_flops(solve)[0]
            rows.append(
                {
                    "length": length,
                    "solver": solver,
                    "exponent": exponent,
                    "iterations": found.iterations,
                    "converged": found.stepped == 0,
                    "depth": found.depth,
                    "difference": float((found.memories - alone).abs().max()),
                    "seconds": taken,
                    "seconds_stepped": stepped,
                    "flops": flops / one_by_one,
                }
            )
    return rows


def picture(rows: list[dict[str, Any]]) -> None:
    """Newton's iterations against T, and at the longest T against the exponent."""
    with styled():
        figure, axes = panels(2, squeeze=False)
        for place, name in enumerate(dict.fromkeys(row["name"] for row in rows if "accuracy" in row)):
            for solver, style in (("newton", "o-"), ("newton from labels", "s--")):
                mine = [r for r in rows if (r["name"], r["solver"]) == (name, solver) and r["converged"]]
                points = [r["length"] for r in mine], [r["iterations"] for r in mine]
                axes[0, 0].plot(*points, style, color=f"C{place}", label=name if style == "o-" else None, alpha=0.8)
        axes[0, 0].set(xscale="log", ylim=(0, MOST), xlabel="T", title="Newton's iterations (dashed: from labels)")
        axes[0, 0].set_xticks(LENGTHS, map(str, LENGTHS), minor=False)
        axes[0, 0].legend(loc="center right")
        for solver in get_args(Solver):
            last = sorted(
                (r["exponent"], r["iterations"]) for r in rows if r["solver"] == solver and r["length"] == LENGTHS[-1]
            )
            axes[0, 1].plot(*zip(*last, strict=True), "o", label=solver)
        axes[0, 1].set(xlabel="Lyapunov exponent, nats a step", title=f"iterations at T = {LENGTHS[-1]} (most {MOST})")
        axes[0, 1].legend()
        figure.savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
