"""Sweep of one setting of a recipe, each value under the same budget: for example, the benefit of a larger memory."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from nounroll.core.plain import plain
from nounroll.data.task import SequenceTask
from nounroll.experiments.consent import build_task
from nounroll.experiments.footprint import check_memory
from nounroll.experiments.recipe import Recipe, parse
from nounroll.experiments.resolve import resolve
from nounroll.experiments.run import train
from nounroll.models.student import Student
from nounroll.training.guard import TrainingError


@dataclass(frozen=True)
class Point:
    """Result of one run of a sweep.

    Attributes:
        value: value of the setting.
        memory: K d, the numbers that the network keeps between two steps; None for the Transformer.
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
        setting: a dotted name, such as cell.memory_width, or an option of the recipe's task.
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
    tasks = _tasks(recipe, setting, recipes, task)
    for one, its_task in zip(recipes, tasks, strict=True):
        settled = resolve(one, its_task).recipe
        if not settled.is_open():
            check_memory(settled, its_task, kept=False)
    points = []
    for number, (value, one, its_task) in enumerate(zip(values, recipes, tasks, strict=True), 1):
        if progress:
            print(f"[{number}/{len(values)}] {setting} {value}", file=sys.stderr, flush=True)
        try:
            run = train(one, its_task, progress=progress and sys.stderr.isatty())
        except TrainingError:
            points.append(Point(value, None, None))
            continue
        memory = math.prod(run.model.memory_shape) if isinstance(run.model, Student) else None
        points.append(Point(value, memory, run.metrics))
    return points


def _tasks(recipe: Recipe, setting: str, recipes: list[Recipe], task: SequenceTask | None) -> list[SequenceTask]:
    """Return the task of each run: one for all, unless the setting is the task's.

    Raises:
        ValueError: the setting is that of a task of the user's own.
    """
    if setting.split(".")[0] != "task":
        return [task or build_task(recipe)] * len(recipes)
    if task is not None:
        raise ValueError(f"setting is {setting}, and the task is an object of your own; sweep another setting")
    origin = recipe.origin and replace(recipe.origin, typed=recipe.origin.typed | {setting})
    return [build_task(replace(one, origin=origin)) for one in recipes]
