"""``nounroll resume``"""

from pathlib import Path
from typing import Any

from nounroll.cli.train import run_in, show

__all__ = ["resume", "show"]


def resume(run: Path, *, force: bool = False) -> dict[str, Any]:
    """Go on with a run that was stopped or killed.

    It goes on from the newest checkpoint that is not damaged, by the run's own recipe. Recipe and data must be as they
    were; another torch, number of threads or machine changes the rounding, and is said.

    Args:
        run: the run's folder.
        force: go on although the recipe or the data has changed.
    """
    from nounroll.run_folder import open_run

    recipe, folder = open_run(run)
    return run_in(folder, recipe, resume=True, force=force)
