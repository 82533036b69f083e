"""``nounroll resume``"""

from pathlib import Path
from typing import Any

from nounroll.cli.train import run_in, show

__all__ = ["resume", "show"]


def resume(run: Path) -> dict[str, Any]:
    """Go on with a run that was stopped or killed.

    It goes on from the newest checkpoint, by the run's own recipe, which must be as it was.

    Args:
        run: the run's folder.
    """
    from nounroll.run_folder import open_run

    recipe, folder = open_run(run)
    return run_in(folder, recipe, resume=True)
