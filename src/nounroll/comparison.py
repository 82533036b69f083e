"""Methods and cells side by side: the same data, the same budget, the same choice of learning rate."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from statistics import fmean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from nounroll.cells import build_cell
from nounroll.cells.base import check_cell
from nounroll.data.task import SequenceTask, draw
from nounroll.recipe import Recipe, parse
from nounroll.report.numbers import figure
from nounroll.rollout.evaluate import evaluate, validation_batches
from nounroll.run import copy_cell, plan, train
from nounroll.training.loop import TrainingError

_SHOWN = (
    *("loss", "bits", "accuracy", "rmse", "drift"),
    *("steps", "tokens", "flops", "sequential_flops", "seconds"),
)


@dataclass(frozen=True)
class Row:
    """One method with one cell, at its best learning rate.

    Attributes:
        method, cell: which.
        learning_rate: the one whose runs had the lowest validation loss.
        seeds: how many runs the metrics are the mean of.
        metrics: as in ``Run.metrics``, measured on other sequences than the validation loss; empty when a run
            diverged at every learning rate.
        runs: the metrics of each seed.
        spread: standard deviation of the loss over the seeds; None for a single one.
        tried: learning rate -> validation loss; None where a run diverged.
    """

    method: str
    cell: str
    learning_rate: float
    seeds: int
    metrics: dict[str, float]
    runs: list[dict[str, float]]
    spread: float | None
    tried: dict[str, float | None]


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` returns: a row per method and cell, in their order. ``print`` shows it as a table."""

    rows: list[Row]

    def table(self) -> Table:
        shown = [name for name in _SHOWN if any(name in row.metrics for row in self.rows)]
        table = Table("method", "cell")
        for name in ("learning rate", "seeds", *shown):
            table.add_column(name.replace("_", " "), justify="right")
        for row in self.rows:
            figures = {name: figure(name, row.metrics.get(name)) for name in shown}
            if row.spread is not None:
                figures["loss"] += f" ± {row.spread:.2g}"
            table.add_row(row.method, row.cell, f"{row.learning_rate:g}", str(row.seeds), *figures.values())
        return table

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``Row(**row)`` takes each of the "rows" back."""
        return {"rows": [asdict(row) for row in self.rows]}

    def to_json(self) -> str:
        """The same as JSON text."""
        return json.dumps(self.to_dict())

    def __str__(self) -> str:
        console = Console(width=200, highlight=False)
        with console.capture() as text:
            console.print(self.table())
        return text.get()


def compare(
    task: SequenceTask,
    *,
    methods: Sequence[str] = ("smt+dmt", "bptt"),
    cells: Sequence[str | nn.Module] = ("mlp", "gru"),
    length: int = 128,
    seconds: float | None = None,
    steps: int | None = None,
    seeds: int | Sequence[int] = 1,
    learning_rates: Sequence[float] | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> Comparison:
    """Train every method with every cell, each under the same budget on the same data.

    Args:
        task: source of sequences.
        methods: chains of smt, dmt and bptt.
        cells: kinds, or modules of the user's own, each copied for every run.
        length: T, in time steps.
        seconds: wall-clock budget of each run; 120 when ``steps`` is left out too.
        steps: budget of each run in optimiser steps, in place of ``seconds``.
        seeds: how many (0, 1, ...), or which.
        learning_rates: every method and cell is run with all of them; the best by validation loss is kept.
        settings: any other setting of a recipe, by its dotted name, as in ``fit``.
        progress: tell on stderr how it goes.

    Raises:
        ValueError: something is not usable; nothing has run then.
    """
    recipe = plan("bptt", None, length=length, seconds=seconds, steps=steps, settings=settings)
    return compare_recipe(
        recipe, task, methods=methods, cells=cells, seeds=seeds, learning_rates=learning_rates, progress=progress
    )


def compare_recipe(
    recipe: Recipe,
    task: SequenceTask,
    *,
    methods: Sequence[str],
    cells: Sequence[str | nn.Module],
    seeds: int | Sequence[int] = 1,
    learning_rates: Sequence[float] | None = None,
    progress: bool = False,
) -> Comparison:
    """``compare``, with all that the runs have in common in a recipe."""
    if not isinstance(task, SequenceTask):
        raise ValueError(f"task is a {type(task).__name__}; it must be a nounroll.SequenceTask")
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    rates = list(learning_rates or [recipe.training.learning_rate])
    for name, values in (("methods", methods), ("cells", cells), ("seeds", numbers)):
        if not values or isinstance(values, str):
            raise ValueError(f"{name} is {values!r}; it must be a list of at least one")
    entries = [
        _Entry(method, cell, name, [_variant(recipe, method, cell, rate, seed) for rate in rates for seed in numbers])
        for method, (cell, name) in product(methods, zip(cells, _names(cells), strict=True))
    ]
    _check_cells(entries[: len(cells)], recipe, task)
    rows, done, total = [], 0, sum(len(entry.recipes) for entry in entries)
    for entry in entries:
        outcomes: dict[float, list[_Outcome | None]] = {rate: [] for rate in rates}
        for one in entry.recipes:
            done, rate = done + 1, one.training.learning_rate
            if progress:
                what = f"{entry.method}, {entry.name}, learning rate {rate:g}, seed {one.training.seed}"
                print(f"[{done}/{total}] {what}", file=sys.stderr, flush=True)
            outcomes[rate].append(_outcome(one, task, entry.cell, progress and sys.stderr.isatty()))
        rows.append(_row(entry, outcomes))
    return Comparison(rows)


@dataclass(frozen=True)
class _Entry:
    """A method with a cell, and its runs: one for every learning rate and seed."""

    method: str
    cell: str | nn.Module
    name: str
    recipes: list[Recipe]


@dataclass(frozen=True)
class _Outcome:
    """What stays of a run."""

    validation: float
    metrics: dict[str, float]


def _check_cells(entries: list[_Entry], recipe: Recipe, task: SequenceTask) -> None:
    """Find a cell that cannot be used before the first run."""
    example = draw(task, 2, recipe.length, recipe.training.seed, "trial").inputs[:, 0]
    with torch.random.fork_rng(devices=[]):
        for entry in entries:
            if isinstance(entry.cell, nn.Module):
                check_cell(entry.cell, task.inputs, example)
            else:
                build_cell(entry.recipes[0].cell, task.inputs)


def _names(cells: Sequence[str | nn.Module]) -> list[str]:
    """What the table calls the cells: two modules of one class get numbers."""
    names = [cell if isinstance(cell, str) else type(cell).__name__ for cell in cells]
    twice = {name for name in names if names.count(name) > 1}
    return [f"{name} {names[: i + 1].count(name)}" if name in twice else name for i, name in enumerate(names)]


def _variant(recipe: Recipe, method: str, cell: str | nn.Module, rate: float, seed: int) -> Recipe:
    changes: dict[str, Any] = {"method": method, "training.learning_rate": rate, "training.seed": seed}
    if not isinstance(cell, nn.Module):
        changes["cell.kind"] = cell
    return parse(recipe.to_dict(), [f"{name}={json.dumps(value)}" for name, value in changes.items()])


def _outcome(recipe: Recipe, task: SequenceTask, cell: str | nn.Module, progress: bool) -> _Outcome | None:
    """Train and measure; None when it diverged."""
    own_cell = copy_cell(cell) if isinstance(cell, nn.Module) else None
    try:
        run = train(recipe, task, own_cell, progress=progress)  # type: ignore[arg-type]
    except TrainingError:
        return None
    held_out = validation_batches(task, recipe.training.evaluation_sequences, recipe.length, recipe.training.seed)
    loss = evaluate(run.student, held_out)["loss"]
    return _Outcome(loss, run.metrics) if math.isfinite(loss) else None


def _row(entry: _Entry, outcomes: dict[float, list[_Outcome | None]]) -> Row:
    """The mean over the seeds, at the learning rate whose mean validation loss is lowest."""
    whole = {rate: [one for one in seeds if one is not None] for rate, seeds in outcomes.items() if None not in seeds}
    tried = {rate: fmean(one.validation for one in seeds) for rate, seeds in whole.items()}
    best = min(tried, key=tried.__getitem__, default=next(iter(outcomes)))
    runs = [one.metrics for one in whole.get(best, [])]
    losses = [metrics["loss"] for metrics in runs]
    return Row(
        method=entry.method,
        cell=entry.name,
        learning_rate=best,
        seeds=len(outcomes[best]),
        metrics={name: fmean(m[name] for m in runs) for name in _SHOWN if runs and all(name in m for m in runs)},
        runs=runs,
        spread=stdev(losses) if len(losses) > 1 else None,
        tried={f"{rate:g}": tried.get(rate) for rate in outcomes},
    )
