"""Write the table of README.md from the files in docs/results/: python benchmarks/summary.py"""

import json
import re
from dataclasses import dataclass
from typing import Any

from evidence import MEASUREMENTS, ROOT, Look, Measurement

README = ROOT / "README.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
NEITHER = {
    "bptt-mingru": "minGRU",
    "transformer": "a Transformer of the teacher's size",
}  # no network of the usual kind


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes:
        task: of the measurements.
        label: what stands in the first column.
        measure: in the second.
        metrics: which are shown; the first says what is best.
    """

    task: str
    label: str
    measure: str
    metrics: tuple[str, ...] = ("accuracy",)


AT_64_AND_512 = ("accuracy", "accuracy@512")
BITS = ("bits",)
LINES = [
    Line("retrieval at T = 1024", "Retrieval, T = 1,024", "accuracy (a guess: 0.125)"),
    Line("retrieval", "Retrieval, T = 256", "accuracy"),
    Line("parity", "Parity, trained at T = 64", "accuracy at 64, at 512", AT_64_AND_512),
    Line("modular_sum", "Sum modulo 5, trained at T = 64", "accuracy at 64, at 512", AT_64_AND_512),
    Line("modular_arithmetic", "Modular arithmetic in context, T = 64", "accuracy (at best 0.946)"),
    Line("modular_arithmetic at T = 128", "the same, T = 128", "accuracy"),
    Line("stack", "Stack, depth 10, T = 128", "accuracy"),
    Line("stack at T = 256", "the same, T = 256", "accuracy"),
    Line("keys_values", "Keys-Values, 8 pairs, T = 64", "accuracy (a guess: 0.125)"),
    Line("keys_values, 16 pairs at T = 128", "the same, 16 pairs, T = 128", "accuracy"),
    Line("copy at T = 32", "String Copy, T = 32", "accuracy (a guess: 0.125)"),
    Line("copy", "the same, T = 64", "accuracy"),
    Line("digits", "Digits, 8x8", "bits per pixel", BITS),
    Line("mnist_5k", "MNIST-5k, 14x14", "bits per pixel", BITS),
    Line("text", "Text (standard library), T = 128", "bits per byte", BITS),
    Line("king_james", "Text (King James Bible), T = 128", "bits per byte", BITS),
    Line("text at equal tokens", "Text (standard library), 1.5 million tokens each", "bits per byte", BITS),
    Line("text at equal sequential FLOPs", "the same, 1.2e11 sequential FLOPs each", "bits per byte", BITS),
]


def table() -> list[str]:
    """The lines of the table."""
    head = ["task", "measure", "`smt+dmt`", "`bptt`", "neither"]
    return [_row(head), _row(["---"] * len(head)), *(_row(_cells(line)) for line in LINES)]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(line: Line) -> list[str]:
    """Label, measure, and what each kind of contender reached, the best first and in bold type."""
    found: dict[str, list[tuple[float, str, str]]] = {"smt+dmt": [], "bptt": [], "neither": []}
    measured = [m for m in MEASUREMENTS if m.task == line.task and m.file.is_file() and not isinstance(m, Look)]
    budgets = {_seconds(measurement) for measurement in measured}
    shared = budgets.pop() if len(budgets) == 1 else ""
    for measurement in measured:
        name, seconds = measurement.name.split("/")[1], _seconds(measurement)
        for row in _answer(measurement)["rows"]:
            if row["method"] == "teacher":
                continue
            kind = "neither" if name in NEITHER else row["method"]
            shown = NEITHER.get(name) or _words(name.removeprefix(f"{row['method']}-"))
            more = [f"{row['seeds']} seeds"] * (row["seeds"] > 1) + [f"{seconds} s"] * (seconds != shared)
            values = ", ".join(f"{row['metrics'][m]:.3f}" for m in line.metrics if m in row["metrics"])
            rank = round(row["metrics"][line.metrics[0]], 3) * (1 if line.metrics == BITS else -1)
            found[kind].append((rank, f"{shown} {{}}" + (f" ({', '.join(more)})" if more else ""), values))
    best = min(rank for kind in ("smt+dmt", "bptt") for rank, _, _ in found[kind])
    columns = [
        "; ".join(
            shown.format(f"**{values}**" if rank == best and kind != "neither" else values)
            for rank, shown, values in sorted(contenders)
        )
        for kind, contenders in found.items()
    ]
    return [line.label + (f", {shared} s" if shared else ""), line.measure, *columns]


def _answer(measurement: Measurement) -> Any:
    return json.loads(measurement.file.read_text())


def _seconds(measurement: Measurement) -> str:
    """The budget of what was measured, where it was one in seconds."""
    budget = re.search(r"--seconds (\d+)", _answer(measurement)["command"])
    return budget[1] if budget else ""


def _words(cell: str) -> str:
    """The name of a cell, and what was changed."""
    kind, *change = cell.split("-")
    return f"{kind}, {' '.join(change)}," if change else kind


def main() -> None:
    before, rest = README.read_text().split(BEGIN)
    README.write_text(before + BEGIN + "\n".join(table()) + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
