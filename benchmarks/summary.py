"""Write the tables of README.md from the files in docs/suite/ and docs/results/: python benchmarks/summary.py"""

import json
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import suite_page
from evidence import MEASUREMENTS, ROOT, Measurement
from suite_run import OURS

README, ANSWERS = ROOT / "README.md", ROOT / "docs" / "suite"
METHODS = ("smt+dmt", "tbptt", "bptt")
SHOWN = (  # tasks of the suite that the README has: one of each kind, those that are lost too
    *("adding-100", "retrieval", "modular-arithmetic", "events", "gunpoint"),
    *("motions", "sunspots", "digits", "text", "cartpole"),
)


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
LINES = [
    Line("retrieval", "Retrieval, T = 256", "accuracy (a guess: 0.125)"),
    Line("keys_values", "Keys-Values, 8 pairs, T = 64", "accuracy (a guess: 0.125)"),
    Line("parity", "Parity, trained at T = 64", "accuracy at 64, at 512", AT_64_AND_512),
]


def everyday() -> list[str]:
    """The lines of the suite's table: what was chosen, what it reached, and the best rival, for the tasks shown."""
    every = suite_page.read(ANSWERS)
    rows = [row for row in every if row.task in SHOWN]
    head = ["task", "measure", "chosen", "nounroll", "best rival", "nounroll is"]
    lines = [suite_page.summary(every), _row(head), _row(["---"] * len(head))]
    for row in rows:
        measure, rivals = row.measure, {name: statistics.median(row.values(name)) for name in row.rivals}
        best = measure.best(list(rivals.values())) if rivals else None
        named = [suite_page.NAMES[name] for name, value in rivals.items() if value == best]
        chosen = dict.fromkeys(f"{a['chosen']['method']} {a['chosen']['cell']}" for a in row.answers.get(OURS, []))
        shown_best = f"{named[0]} {suite_page.number(best)}" if best is not None else ""
        cells = [row.task, f"{measure.name}, {measure.better} is better", ", ".join(chosen)]
        cells += [suite_page.cell(measure, row.values(OURS)), shown_best]
        lines.append(_row([*cells, row.verdict or "open"]))
    return lines


def table() -> list[str]:
    """The lines of the table of methods."""
    head = ["task", "measure", *(f"`{method}`" for method in METHODS)]
    return [_row(head), _row(["---"] * len(head)), *(_row(_cells(line)) for line in LINES)]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(line: Line) -> list[str]:
    """Label, measure, and what each cell reached by each method, the best of all in bold type."""
    found: dict[str, list[tuple[float, str, str]]] = {method: [] for method in METHODS}
    measured = [m for m in MEASUREMENTS if m.task == line.task and m.file.is_file()]
    budgets = {_seconds(measurement) for measurement in measured}
    shared = budgets.pop() if len(budgets) == 1 else ""
    for measurement in measured:
        name, seconds = measurement.name.split("/")[1], _seconds(measurement)
        for row in _answer(measurement)["rows"]:
            if row["method"] == "teacher":
                continue
            shown = _words(name.removeprefix(f"{row['method']}-"))
            more = [f"{row['seeds']} seeds"] * (row["seeds"] > 1) + [f"{seconds} s"] * (seconds != shared)
            values = ", ".join(f"{row['metrics'][m]:.3f}" for m in line.metrics if m in row["metrics"])
            rank = -round(row["metrics"][line.metrics[0]], 3)
            found[row["method"]].append((rank, f"{shown} {{}}" + (f" ({', '.join(more)})" if more else ""), values))
    best = min((rank for contenders in found.values() for rank, _, _ in contenders), default=0.0)
    columns = [
        "; ".join(shown.format(f"**{values}**" if rank == best else values) for rank, shown, values in sorted(one))
        for one in found.values()
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


TABLES: dict[str, Callable[[], list[str]]] = {"suite": everyday, "methods": table}


def shown(name: str, text: str) -> list[str]:
    """The lines that a page has between the marks of a table."""
    return text.split(f"<!-- {name} -->\n")[1].split(f"<!-- end of {name} -->\n")[0].splitlines()


def main() -> None:
    text = README.read_text()
    for name, lines in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, rest = text.split(begin)
        text = before + begin + "\n".join(lines()) + "\n" + end + rest.split(end)[1]
    README.write_text(text)


if __name__ == "__main__":
    main()
