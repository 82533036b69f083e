"""Resumption of a run from Python: the recipe is the folder's, and settings that are given again must agree with it."""

from pathlib import Path
from typing import Any

from torch import nn

from nounroll.experiments.auto import TRIALS, Chosen, share_left
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.run_folder import CUSTOM, open_run, way_on
from nounroll.methods import AUTO, parse_chain
from nounroll.storage import checkpoint
from nounroll.training.counters import Counters
from nounroll.training.run_state import MAY_CHANGE
from nounroll.training.settings import Budget

_COMPLETED = ("cell.width", "cell.layers")  # 0 lets the cell choose, and the run's recipe has the chosen value


def resumed(given: Recipe, names: set[str], folder: Path, cell: nn.Module | None) -> Recipe:
    """Return the recipe with which the run in a folder continues.

    Args:
        given: the settings of this call.
        names: dotted names of the settings that this call sets; the others are the run's.
        folder: folder of the run.
        cell: the user's own module, or None.

    Raises:
        ValueError: the folder holds no run that can continue with these settings; the message names the setting.
    """
    kept, _ = open_run(folder)
    if kept.task.kind != CUSTOM:
        raise ValueError(f"{folder} was trained on {kept.task.kind}; continue with: nounroll resume {folder}")
    if kept.is_open(cell) and (folder / "checkpoints").is_dir() and not (folder / TRIALS).is_dir():
        raise ValueError(f"{folder} was trained with a cell of your own; give cell=, a module of the same sizes")
    more, budget = None, given.training.budget
    for name in sorted(names):
        now, then = _values(name, given, kept, folder)
        if now == then or (name in _COMPLETED and not now) or (now == AUTO and name in ("method", "cell.kind")):
            continue
        if name == f"training.{budget.kind}" and is_finished(kept, folder):
            more = budget
            continue
        if name not in MAY_CHANGE:
            raise ValueError(f"{name} is {now!r}, and {folder} is trained with {then!r}; leave it out, or set it back")
        kept = kept.with_given({name: now})
    return kept if more is None else extended(kept, folder, more)


def is_finished(recipe: Recipe, folder: Path) -> bool:
    """Return whether a run has spent its budget."""
    found = _counters(folder)
    return recipe.method != AUTO and found is not None and found.link >= len(parse_chain(recipe.method))


def extended(recipe: Recipe, folder: Path, more: Budget) -> Recipe:
    """Return the recipe of a finished run with a larger budget.

    Raises:
        ValueError: the run is not finished.
    """
    counters = _counters(folder)
    if counters is None or not is_finished(recipe, folder):
        raise ValueError(
            f"{more.kind} is {more.amount:g}, more for a run that is finished, and {folder} is not; leave it out, and"
            f" continue with: {way_on(folder)}"
        )
    total = counters.spent(more.kind) + more.amount
    return recipe.changed({"training.budget": Budget(more.kind, total)})


def _counters(folder: Path) -> Counters | None:
    """Read the counters of the run in a folder; None before its first checkpoint."""
    found = checkpoint.read_newest(checkpoint.newest_first(folder / "checkpoints"), checkpoint.read)
    try:
        return Counters.from_dict(found[1][1]["counters"]) if found else None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder}/checkpoints holds no counters; it is not a checkpoint of a run") from error


def _values(name: str, given: Recipe, kept: Recipe, folder: Path) -> tuple[Any, Any]:
    """Return a setting's value in this call and in the run. The run's budget excludes the share of its trials."""
    budget = given.training.budget
    if name != f"training.{budget.kind}":
        return given.get(name), kept.get(name)
    chosen, amount = Chosen.read(folder), kept.training.budget.amount
    left = budget.part(share_left(len(chosen.trials))) if chosen else budget
    agrees = kept.training.budget in (budget, left)
    return budget.amount, budget.amount if agrees else f"{amount:g} {kept.training.budget.kind}"
