"""Command ``nounroll resume``"""

from pathlib import Path
from typing import Any

from nounroll.cli.train import run_in, show

__all__ = ["resume", "show"]


def resume(
    run: Path,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    tokens: int | None = None,
    flops: float | None = None,
    sequential_flops: float | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Go on with a run that was stopped or killed, or give one that is finished more budget.

    It goes on from the newest checkpoint that is not damaged, by the run's own recipe. Recipe and data must be as they
    were; another torch, number of threads or machine changes the rounding, and is said.

    Args:
        run: the run's folder.
        seconds: for a run that is finished, seconds on top of what it has spent; its last method goes on.
        steps: optimiser steps on top.
        tokens: time steps trained on, on top.
        flops: FLOPs of losses and gradients, on top.
        sequential_flops: FLOPs on the longest chain of dependent operations, on top.
        force: go on although the recipe or the data has changed.
    """
    from nounroll.experiments.resumption import extended
    from nounroll.experiments.run_folder import open_run
    from nounroll.training.settings import BUDGETS, Budget

    recipe, folder = open_run(run)
    more: dict[str, float | None] = dict(zip(BUDGETS, (seconds, steps, tokens, flops, sequential_flops), strict=True))
    if any(value is not None for value in more.values()):
        recipe = extended(recipe, folder, Budget.from_names(more))
    return run_in(folder, recipe, resume=True, force=force)
