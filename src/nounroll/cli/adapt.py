"""Command ``nounroll adapt``"""

from pathlib import Path
from typing import Any

from nounroll.cli.train import run_in, show

__all__ = ["adapt", "show"]


def adapt(
    run: Path,
    *,
    task: str | None = None,
    head: str = "keep",
    anchor: float | None = None,
    rehearse: float | None = None,
    update: str = "all",
    seconds: float | None = None,
    steps: int | None = None,
    length: int | None = None,
    seed: int | None = None,
    out: Path | None = None,
    set: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Train a trained network for another task, and keep what it knew.

    A new run: its student begins with that of RUN, learns the new task by BPTT, and is held to what it was on sequences
    of the old task, which are drawn from RUN's own data.

    Args:
        run: the folder of the run whose student is adapted.
        task: kind of the new task (nounroll tasks lists them); that of RUN when left out. Its options by --set, as
            task.options.path=FILE.
        head: keep the readout, or begin with a new one: keep or new. Targets of another space have a new one.
        anchor: weight of the pull to the memories and the predictions that were; 0.7 when left out, 0 lets go.
        rehearse: share of sequences of the old task; 0.25 when left out.
        update: what learns: all weights, the readout alone, the readout and a low-rank update of the cell's matrices
            (low-rank), or the empty memory (start) alone.
        seconds: wall-clock budget; 120 when steps is left out too.
        steps: budget in optimiser steps.
        length: T, in time steps; that of RUN when left out.
        seed: of data and all random choices.
        out: folder of the new run; runs/adapted-NAME when left out.
        set: any other setting, such as training.learning_rate=0.0005; may be given several times.
    """
    from nounroll.experiments.recipe import parse
    from nounroll.experiments.rehearsal import with_rehearsal
    from nounroll.experiments.run_folder import CUSTOM, open_run
    from nounroll.experiments.warm_start import start_from
    from nounroll.methods import ADAPT

    if head not in ("keep", "new"):
        raise ValueError(f"--head is {head!r}; it must be keep or new")
    old, folder = open_run(run)
    start = start_from(folder, ADAPT, ["head"] if head == "new" else [])
    if rehearse != 0 and old.task.kind != CUSTOM:
        start = with_rehearsal(start, folder)
    assert start is not None
    named = {"adapt.anchor": anchor, "adapt.rehearse": rehearse, "adapt.update": update, "training.seed": seed}
    tree: dict[str, Any] = {"name": f"adapted-{old.name}", "task": {"kind": task or old.task.kind}, "method": ADAPT}
    tree["length"] = old.length if length is None else length
    budget = {"steps": steps} if steps is not None else {"seconds": 120.0 if seconds is None else seconds}
    if steps is not None and seconds is not None:
        raise ValueError(f"--seconds is {seconds:g} and --steps is {steps}; give one of them")
    overrides = [f"{name}={value}" for name, value in named.items() if value is not None]
    recipe = start.applied(parse({**tree, "training": budget}, [*overrides, *set]))
    return run_in(out or Path("runs") / recipe.name, recipe, start=start)
