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
    """Resume a run that was stopped or killed, or give a finished run more budget.

    The run continues from its newest undamaged checkpoint, with its own recipe. The recipe and the data must be
    unchanged. Another version of torch, number of threads or machine changes the rounding, and gives a warning.

    Args:
        run: the run's folder.
        seconds: for a finished run, seconds in addition to those it has spent; its last method continues.
        steps: additional optimiser steps.
        tokens: additional time steps to train on.
        flops: additional FLOPs of losses and gradients.
        sequential_flops: additional FLOPs on the longest chain of dependent operations.
        force: resume even if the recipe or the data has changed.
    """
    from nounroll.experiments.resumption import extended
    from nounroll.experiments.run_folder import open_run
    from nounroll.training.settings import BUDGETS, Budget

    recipe, folder = open_run(run)
    more: dict[str, float | None] = dict(zip(BUDGETS, (seconds, steps, tokens, flops, sequential_flops), strict=True))
    if any(value is not None for value in more.values()):
        recipe = extended(recipe, folder, Budget.from_names(more))
    return run_in(folder, recipe, resume=True, force=force)
