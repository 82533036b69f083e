"""``nounroll train``"""

from pathlib import Path
from typing import Any

from rich.console import Console

from nounroll.cli.terminal import last_warning, metrics_table, note, stop_on_signal, watched


def train(
    recipe: Path,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    tokens: int | None = None,
    flops: float | None = None,
    sequential_flops: float | None = None,
    cell: str | None = None,
    method: str | None = None,
    length: int | None = None,
    seed: int | None = None,
    out: Path | None = None,
    set: tuple[str, ...] = (),
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train what a recipe says.

    The run is kept in a folder of its own. Ctrl-C or SIGTERM writes a checkpoint first: nounroll resume RUN goes on.

    Args:
        recipe: YAML file; see recipes/.
        seconds: wall-clock budget, in place of the recipe's.
        steps: budget in optimiser steps, in place of the recipe's.
        tokens: budget in time steps trained on, in place of the recipe's.
        flops: budget in FLOPs of losses and gradients, in place of the recipe's.
        sequential_flops: budget in FLOPs on the longest chain of dependent operations, in place of the recipe's.
        cell: mlp, transformer, gru, lstm, elman, tape or mingru.
        method: chain of smt, dmt and bptt, such as smt+dmt.
        length: T, in time steps.
        seed: of data, weights and all random choices.
        out: folder of the run; runs/NAME when left out.
        set: any other setting, such as teacher.width=256; may be given several times.
        dry_run: train nothing, and say how much memory it would take at the least.
    """
    from nounroll.recipe import load

    given = {
        "training.seconds": seconds,
        "training.steps": steps,
        "training.tokens": tokens,
        "training.flops": flops,
        "training.sequential_flops": sequential_flops,
        "cell.kind": cell,
        "method": method,
        "length": length,
        "training.seed": seed,
    }
    overrides = [f"{name}={value}" for name, value in given.items() if value is not None]
    settings = load(recipe, [*overrides, *set])
    if dry_run:
        return estimate(settings)
    return run_in(out or Path("runs") / settings.name, settings)


def run_in(folder: Path, recipe: Any, resume: bool = False) -> dict[str, Any]:
    """Train by a ``Recipe`` in a folder until the budget is spent or a signal comes."""
    from nounroll import run

    with stop_on_signal() as stop:
        done = run.train(recipe, folder=folder, resume=resume, progress=watched(), stop=stop)
    if not done.finished:
        note(f"nounroll: stopped after {done.metrics['steps']:,} steps; go on with: nounroll resume {folder}")
    if warning := last_warning(done.history):
        note(f"nounroll: {warning}")
    return {"run": str(folder), "finished": done.finished, "metrics": done.metrics}


def estimate(recipe: Any) -> dict[str, Any]:
    """The least memory that a run by a ``Recipe`` takes, and what there is."""
    from nounroll import data, footprint

    task = data.build(recipe.task.kind, recipe.task.options)
    footprint.check_memory(recipe, task)
    found = footprint.footprint(recipe, task)
    there = {name: {"needed": getattr(found, part), "there": have} for name, part, have in footprint.pools(recipe)}
    return {"footprint": vars(found), "memory": there}


def _show_estimate(result: dict[str, Any], console: Console) -> None:
    from nounroll.footprint import in_words

    parameters, *parts = result["footprint"].items()
    console.print(f"parameters  {parameters[1]:,.0f}")
    for name, number in parts:
        console.print(f"{name:11} {in_words(number)}")
    for name, one in result["memory"].items():
        console.print(f"It takes at least {in_words(one['needed'])} of {name}, and there is {in_words(one['there'])}.")


def show(result: dict[str, Any], console: Console) -> None:
    if "footprint" in result:
        _show_estimate(result, console)
    else:
        console.print(f"{result['run']} is {'finished' if result['finished'] else 'not finished'}")
        console.print(metrics_table(result["metrics"]))
