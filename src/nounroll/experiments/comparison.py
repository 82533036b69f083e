"""Comparison of methods and cells: all use the same data, the same budget and the same choices of settings.

Two baselines that are not recurrent are measured too: the teacher of every smt, and a plain Transformer.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from statistics import fmean
from typing import Any

from torch import nn

from nounroll.cells.base import check_cell
from nounroll.core.plain import plain
from nounroll.data.task import SequenceTask, draw
from nounroll.experiments.compared import NO_CELL, Comparison, Row, as_text
from nounroll.experiments.facts import look
from nounroll.experiments.footprint import check_memory
from nounroll.experiments.recipe import Recipe, parse
from nounroll.experiments.resolve import Resolved, resolve
from nounroll.experiments.run import Run, copy_cell, plan, train
from nounroll.methods import TRANSFORMER, settings_read
from nounroll.methods.cost import COSTS
from nounroll.rollout.evaluate import evaluate_task, validation_batches
from nounroll.training.guard import TrainingError
from nounroll.training.settings import BUDGETS

_TESTED = 64  # sequences for each additional length
_TEACHER = "teacher"  # stands in the method column for the teacher of an smt
_RATE = "training.learning_rate"
_ALIKE = {  # settings that are the same in all runs of a comparison, or set by an argument
    *("name", "method", "length", "cell.kind", _RATE, "training.seed"),
    *(f"training.{name}" for name in BUDGETS),
}


def compare(
    task: SequenceTask,
    *,
    methods: Sequence[str] = ("smt+dmt", "bptt"),
    cells: Sequence[str | nn.Module] = ("mlp", "gru"),
    length: int = 128,
    seconds: float | None = None,
    steps: int | None = None,
    tokens: int | None = None,
    flops: float | None = None,
    sequential_flops: float | None = None,
    seeds: int | Sequence[int] = 1,
    learning_rates: Sequence[float] | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    lengths: Sequence[int] = (),
    settings: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> Comparison:
    """Train every method with every cell, under the same budget and on the same data.

    Args:
        task: source of sequences.
        methods: chains of smt, dmt, tbptt and bptt; and "transformer", a plain Transformer of the teacher's size.
        cells: kinds, or the user's own modules; each is copied for every run. The Transformer has no cell.
        length: T, in time steps.
        seconds: wall-clock budget of each run; 120 if no other budget is given either.
        steps, tokens, flops, sequential_flops: a budget of another kind instead (see
            ``nounroll.training.settings``).
        seeds: number of seeds (0, 1, ...), or a list of seeds.
        learning_rates: each method and cell runs with all of them, and the best one by validation loss is kept. By
            default the rate is taken from ``settings``, or else chosen for the method and the data
            (``nounroll.experiments.resolve``).
        grid: other settings to search in the same way, by their dotted names: each method and cell runs with
            every combination of their values and of the learning rates. Combinations that differ only in settings that
            a method does not read run once.
        lengths: further T at which each trained network is measured (teachers are not).
        settings: any other setting of a recipe, by its dotted name, as in ``fit``.
        progress: report progress on stderr.

    Raises:
        ValueError: an argument is not usable; no run has started then.
    """
    budget = {
        "seconds": seconds,
        "steps": steps,
        "tokens": tokens,
        "flops": flops,
        "sequential_flops": sequential_flops,
    }
    recipe = plan("bptt", None, length=length, budget=budget, settings=settings)
    return compare_recipe(
        recipe,
        task,
        methods=methods,
        cells=cells,
        seeds=seeds,
        learning_rates=learning_rates,
        grid=grid,
        lengths=lengths,
        progress=progress,
    )


def compare_recipe(
    recipe: Recipe,
    task: SequenceTask,
    *,
    methods: Sequence[str],
    cells: Sequence[str | nn.Module],
    seeds: int | Sequence[int] = 1,
    learning_rates: Sequence[float] | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    lengths: Sequence[int] = (),
    progress: bool = False,
) -> Comparison:
    """Run ``compare`` with the settings that all runs share given as a recipe."""
    if not isinstance(task, SequenceTask):
        raise ValueError(f"task is a {type(task).__name__}; it must be a nounroll.SequenceTask")
    seeds, methods, cells, lengths = (plain(given) for given in (seeds, methods, cells, lengths))
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    choices = _choices(list(plain(learning_rates) or [None]), plain(grid or {}))
    for name, values in (("methods", methods), ("cells", cells), ("seeds", numbers)):
        if not values or isinstance(values, str):
            raise ValueError(f"{name} is {values!r}; it must be a list of at least one")
    facts = look(task, recipe.length, recipe.training.seed)
    settle = partial(resolve, task=task, facts=facts)
    entries = [
        _entry(recipe, settle, method, cell, name, choices, numbers)
        for method in methods
        for cell, name in ([(None, NO_CELL)] if method == TRANSFORMER else zip(cells, _names(cells), strict=True))
    ]
    for entry in entries:  # report unusable settings before the first run
        own = (
            check_cell(entry.cell, task.inputs, task.inputs.enter(task.inputs.zeros(2)))
            if isinstance(entry.cell, nn.Module)
            else None
        )
        for _, recipes in entry.choices:
            check_memory(settle(recipes[0]).recipe, task, own, kept=False)
    for length in lengths:
        draw(task.validation(), 1, length, recipe.training.seed, "trial")  # fails here for an unknown length
    rows, done, total = [], 0, sum(len(entry.choices) for entry in entries) * len(numbers)
    for entry in entries:
        outcomes: list[list[_Outcome | None]] = [[] for _ in entry.choices]
        for (choice, recipes), found in zip(entry.choices, outcomes, strict=True):
            for one in recipes:
                done += 1
                if progress:
                    what = f"{entry.method}, {entry.name}, learning rate {_label(choice)}, seed {one.training.seed}"
                    print(f"[{done}/{total}] {what}", file=sys.stderr, flush=True)
                found.append(_outcome(one, task, entry.cell, lengths, progress and sys.stderr.isatty()))
        rows += _rows(entry, outcomes)
    return Comparison(rows)


def _choices(rates: Sequence[float | None], grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """List every combination of the settings' values, the learning rate first; a rate of None is chosen for the data.

    Raises:
        ValueError: a setting has no values, or it must be the same in all runs of a comparison.
    """
    for name, values in grid.items():
        if name in _ALIKE or name.split(".")[0] == "task":
            raise ValueError(f"grid has {name}; it is for settings that may differ between the runs of a comparison")
        if not values or isinstance(values, str):
            raise ValueError(f"grid has {values!r} for {name}; it must be a list of at least one value")
    every = {_RATE: rates, **grid}
    return [dict(zip(every, values, strict=True)) for values in product(*every.values())]


def _label(choice: Mapping[str, Any]) -> str:
    """Label a row by its rate and its other settings: "0.002 training.batch_size=8"."""
    others = (f"{name}={as_text(value)}" for name, value in choice.items() if name != _RATE)
    return " ".join([f"{choice[_RATE]:g}", *others])


@dataclass(frozen=True)
class _Entry:
    """Runs of a method with a cell (the Transformer has none): for every choice, one run per seed."""

    method: str
    cell: str | nn.Module | None
    name: str
    choices: list[tuple[dict[str, Any], list[Recipe]]]


def _entry(
    recipe: Recipe,
    settle: Callable[[Recipe], Resolved],
    method: str,
    cell: str | nn.Module | None,
    name: str,
    choices: list[dict[str, Any]],
    seeds: Sequence[int],
) -> _Entry:
    """Build the runs of a method and a cell. Choices that differ only in settings that the method ignores are merged.

    Raises:
        ValueError: a setting of a choice is not usable, even if the method ignores it.
    """
    read = settings_read(method) - ({"cell"} if isinstance(cell, nn.Module) else set())
    once: dict[str, tuple[dict[str, Any], list[Recipe]]] = {}
    for choice in choices:
        if choice[_RATE] is None:
            others = {name: value for name, value in choice.items() if name != _RATE}
            suited = settle(_variant(recipe, method, cell, others, seeds[0])).recipe
            choice = {**choice, _RATE: suited.training.learning_rate}
        kept = {setting: value for setting, value in choice.items() if setting.split(".")[0] in read}
        once[_label(kept)] = kept, [_variant(recipe, method, cell, choice, seed) for seed in seeds]
    return _Entry(method, cell, name, list(once.values()))


@dataclass(frozen=True)
class _Outcome:
    """Figures of a run and its teacher, kept after the run is discarded."""

    validation: float
    metrics: dict[str, float]
    curve: list[dict[str, float]] = field(default_factory=list)
    teacher: dict[str, float] | None = None
    teacher_curve: list[dict[str, float]] = field(default_factory=list)


def _names(cells: Sequence[str | nn.Module]) -> list[str]:
    """Name the cells in the table: two modules of one class get numbers."""
    names = [cell if isinstance(cell, str) else type(cell).__name__ for cell in cells]
    twice = {name for name in names if names.count(name) > 1}
    return [f"{name} {names[: i + 1].count(name)}" if name in twice else name for i, name in enumerate(names)]


def _variant(recipe: Recipe, method: str, cell: str | nn.Module | None, choice: Mapping[str, Any], seed: int) -> Recipe:
    changes: dict[str, Any] = {"method": method, "training.seed": seed, **choice}
    if isinstance(cell, str):
        changes["cell.kind"] = cell
    return parse(recipe.given_to_dict(), changes)


def _outcome(
    recipe: Recipe, task: SequenceTask, cell: str | nn.Module | None, lengths: Sequence[int], progress: bool
) -> _Outcome | None:
    """Train a run and measure it; None if it diverged."""
    own_cell = copy_cell(cell) if isinstance(cell, nn.Module) else None
    try:
        run = train(recipe, task, own_cell, progress=progress)  # type: ignore[arg-type]
    except TrainingError:
        return None
    batches = validation_batches(task, 0, recipe.length, recipe.training.seed)
    validation = evaluate_task(task, run.model, batches)["loss"]
    if not math.isfinite(validation):
        return None
    return _Outcome(
        validation,
        run.metrics | _at_lengths(run, task, lengths),
        _curve(run, "loss"),
        run.teacher_metrics,
        _curve(run, "teacher_loss"),
    )


def _at_lengths(run: Run, task: SequenceTask, lengths: Sequence[int]) -> dict[str, float]:
    """Compute each metric at each length, on held-out sequences."""
    found = {}
    for length in lengths:
        batches = validation_batches(task, _TESTED, length, run.recipe.training.seed, stream="test")
        found |= {f"{name}@{length}": value for name, value in evaluate_task(task, run.model, batches).items()}
    return found


def _curve(run: Run, name: str) -> list[dict[str, float]]:
    """Collect the loss at each evaluation, with the tokens, FLOPs and seconds used by then."""
    records = (record for record in run.history if record["event"] == "evaluation" and name in record)
    points = [{"loss": one[name], **{axis: one[axis] for axis in ("tokens", *COSTS, "seconds")}} for one in records]
    return [point for point in points if math.isfinite(point["loss"])]


def _rows(entry: _Entry, outcomes: list[list[_Outcome | None]]) -> list[Row]:
    """Average over the seeds at the choice with the lowest mean validation loss; add the rows of teachers."""
    choices = [choice for choice, _ in entry.choices]
    whole = {i: [one for one in seeds if one is not None] for i, seeds in enumerate(outcomes) if None not in seeds}
    losses = {i: fmean(one.validation for one in seeds) for i, seeds in whole.items()}
    best = min(losses, key=losses.__getitem__, default=0)
    tried = {_label(choice): losses.get(i) for i, choice in enumerate(choices)}
    kept, seeds, choice = whole.get(best, []), len(outcomes[best]), choices[best]
    row = partial(
        Row.averaged,
        cell=entry.name,
        learning_rate=choice[_RATE],
        settings={name: value for name, value in choice.items() if name != _RATE},
        seeds=seeds,
    )
    runs, curves = [one.metrics for one in kept], [one.curve for one in kept]
    rows = [row(entry.method, runs=runs, tried=tried, curves=curves)]
    teachers = [one.teacher for one in kept if one.teacher is not None]
    if teachers:
        rows.append(row(_TEACHER, runs=teachers, tried={}, curves=[one.teacher_curve for one in kept]))
    return rows
