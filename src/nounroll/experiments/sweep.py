"""Sweep of one setting of a recipe, each value under the same budget: for example, the benefit of a larger memory."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nounroll.core.plain import plain
from nounroll.data.task import SequenceTask
from nounroll.experiments.consent import build_task
from nounroll.experiments.footprint import check_memory
from nounroll.experiments.recipe import Recipe, parse
from nounroll.experiments.resolve import resolve
from nounroll.experiments.run import train
from nounroll.training.guard import TrainingError


@dataclass(frozen=True)
class Point:
    """Result of one run of a sweep.

    Attributes:
        value: value of the setting.
        memory: K d, the numbers that the network keeps between two steps.
        metrics: as in ``Run.metrics``; None if training diverged.
    """

    value: Any
    memory: int | None
    metrics: dict[str, float] | None


def sweep(
    recipe: Recipe, setting: str, values: Sequence[Any], task: SequenceTask | None = None, *, progress: bool = False
) -> list[Point]:
    """Train a recipe once for each value of a setting: loss at a fixed budget (arXiv 2606.06479, memory size).

    Args:
        recipe: all other settings; ``nounroll.experiments.run.plan`` makes one.
        setting: a dotted name, such as cell.memory_width.
        values: values of the setting, one run each.
        task: the user's own task, in place of the recipe's.
        progress: report progress on stderr.

    Raises:
        ValueError: a value is not usable; no run has started then.
    """
    values = plain(values)
    if not values:
        raise ValueError("values is empty; a sweep needs at least one")
    recipes = [parse(recipe.given_to_dict(), {setting: value}) for value in values]
    task = task or build_task(recipe)
    for settled in (resolve(one, task).recipe for one in recipes):
        if not settled.is_open():
            check_memory(settled, task, kept=False)
    points = []
    for number, (value, one) in enumerate(zip(values, recipes, strict=True), 1):
        if progress:
            print(f"[{number}/{len(values)}] {setting} {value}", file=sys.stderr, flush=True)
        try:
            run = train(one, task, progress=progress and sys.stderr.isatty())
        except TrainingError:
            points.append(Point(value, None, None))
            continue
        tokens, width = run.student.memory_shape
        points.append(Point(value, tokens * width, run.metrics))
    return points
