"""Results of a comparison: a row for each method and cell, as a table, JSON or a picture."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from nounroll.methods.cost import COSTS
from nounroll.report.curves import draw_curves
from nounroll.report.numbers import deviation, figure

NO_CELL = "-"
_MEASURES = ("loss", "bits", "accuracy", "rmse")
_SHOWN = (*_MEASURES, "drift", "steps", "tokens", *COSTS, "seconds")


@dataclass(frozen=True)
class Row:
    """Result of one method with one cell, at its best learning rate and its best settings of the grid.

    Attributes:
        method, cell: names of both. "teacher" means the teacher of the row before; "-" is the Transformer's cell.
        learning_rate: the rate with the lowest validation loss.
        seeds: number of runs that the metrics are averaged over.
        metrics: as in ``Run.metrics``, measured on sequences that the validation loss does not use; empty if a run
            diverged at every learning rate. The name of a metric at another length includes it: "accuracy@512".
        runs: the metrics of each seed.
        spread: standard deviation of the loss over the seeds; None for a single seed.
        tried: learning rate and settings of the grid -> validation loss; None if a run diverged. Empty for a
            teacher, because it is chosen together with its student.
        curves: for each seed, the validation loss at each evaluation, with the tokens, flops, sequential_flops and
            seconds that training had used by then.
        settings: the settings of the grid with the lowest validation loss.
    """

    method: str
    cell: str
    learning_rate: float
    seeds: int
    metrics: dict[str, float]
    runs: list[dict[str, float]]
    spread: float | None
    tried: dict[str, float | None]
    curves: list[list[dict[str, float]]] = field(default_factory=list, repr=False)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.method if self.cell == NO_CELL else f"{self.method}, {self.cell}"

    @classmethod
    def averaged(
        cls,
        method: str,
        cell: str,
        learning_rate: float,
        settings: dict[str, Any],
        runs: list[dict[str, float]],
        curves: list[list[dict[str, float]]],
        *,
        seeds: int,
        tried: dict[str, float | None],
    ) -> "Row":
        """Average each metric that all runs have."""
        names = [name for name in (runs[0] if runs else {}) if name in _SHOWN or "@" in name]
        metrics = {name: fmean(run[name] for run in runs) for name in names if all(name in run for run in runs)}
        losses = [metrics["loss"] for metrics in runs if "loss" in metrics]
        spread = stdev(losses) if len(losses) > 1 else None
        return cls(method, cell, learning_rate, seeds, metrics, runs, spread, tried, curves, settings)


@dataclass(frozen=True)
class Comparison:
    """Result of ``compare``: one row per method and cell, in the order given. ``print`` shows it as a table."""

    rows: list[Row]

    def table(self) -> Table:
        everywhere = dict.fromkeys(name for row in self.rows for name in row.metrics)
        shown = [name for name in _SHOWN if name in everywhere] + [name for name in everywhere if "@" in name]
        chosen = list(dict.fromkeys(name for row in self.rows for name in row.settings))
        table = Table("method", "cell")
        for name in ("learning rate", *chosen, "seeds", *(name.replace("_", " ") for name in shown)):
            table.add_column(name, justify="right")
        for row in self.rows:
            figures = {name: figure(name, row.metrics.get(name)) for name in shown}
            for name in set(_MEASURES) & row.metrics.keys():
                if len(row.runs) > 1:
                    figures[name] += f" ± {deviation(name, stdev(run[name] for run in row.runs))}"
            best = [as_text(row.settings[name]) if name in row.settings else NO_CELL for name in chosen]
            table.add_row(row.method, row.cell, f"{row.learning_rate:g}", *best, str(row.seeds), *figures.values())
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; ``Row(**row)`` restores each of the "rows"."""
        return {"rows": [asdict(row) for row in self.rows]}

    def to_json(self) -> str:
        """Return ``to_dict`` as JSON text."""
        return json.dumps(self.to_dict())

    def draw(self, path: str | Path) -> None:
        """Draw the learning curves of all rows: loss against seconds, tokens, FLOPs and sequential FLOPs.

        Raises:
            ValueError: the file name does not end like a picture's, or every run diverged.
        """
        draw_curves(Path(path), [(row.name, row.curves) for row in self.rows])

    def __str__(self) -> str:
        console = Console(width=200, highlight=False)
        with console.capture() as text:
            console.print(self.table())
        return text.get()


def as_text(value: Any) -> str:
    """Write a setting's value as in a recipe."""
    return value if isinstance(value, str) else json.dumps(value)
