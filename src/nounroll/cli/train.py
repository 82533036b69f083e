"""Command ``nounroll train``"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from nounroll.cli.terminal import last_warning, metrics_table, note, stop_on_signal, watched

EARLY = "{method} ended with {seconds:g} s spent, since validation had risen; the rest of the budget is left"

KEPT = "no better student was made on the validation part: it is the one that was there before"


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
    from_: Path | None = None,
    new: str = "",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train a network by a recipe.

    Each run has its own folder. Ctrl-C or SIGTERM saves a checkpoint and stops the run; nounroll resume RUN continues
    it.

    Args:
        recipe: YAML file; see recipes/.
        seconds: wall-clock budget, in place of the recipe's.
        steps: budget in optimiser steps, in place of the recipe's.
        tokens: budget in time steps trained on, in place of the recipe's.
        flops: budget in FLOPs of losses and gradients, in place of the recipe's.
        sequential_flops: budget in FLOPs on the longest chain of dependent operations, in place of the recipe's.
        cell: mlp, transformer, gru, lstm, elman, tape, mingru or pooled; or auto, to choose by short trials.
        method: chain of smt, dmt, tbptt and bptt, such as smt+dmt; or auto.
        length: T, in time steps.
        seed: seed of the data, the weights and all random choices.
        out: folder of the run; runs/NAME by default.
        from_: folder of a run to start from: its student and, if the method has a teacher, its teacher.
        new: parts of that run to replace by new ones: inputs, head or teacher, separated by commas. Targets of another
            space always have a new head.
        set: any other setting, such as teacher.width=256; may be given several times.
        dry_run: do not train; print the settings chosen for the data, and the minimum memory of the run.
    """
    from nounroll.experiments.recipe import load
    from nounroll.experiments.warm_start import start_from
    from nounroll.methods import check_taught

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
    settings, start = load(recipe, [*overrides, *set]), None
    if new and from_ is None:
        raise ValueError(f"--new is {new}, but --from is not given; name the run to start from, or leave out --new")
    if from_ is not None:
        start = start_from(from_, settings.method, [word.strip() for word in new.split(",") if word.strip()])
        settings = start.applied(settings)
    if dry_run:
        if start is None or not start.teacher:
            check_taught(settings.method)
        return estimate(settings)
    return run_in(out or Path("runs") / settings.name, settings, start=start)


def run_in(folder: Path, recipe: Any, resume: bool = False, force: bool = False, start: Any = None) -> dict[str, Any]:
    """Train by a ``Recipe`` in a folder until the budget is spent or a signal arrives."""
    from nounroll.experiments import run

    with stop_on_signal() as stop:
        done = run.train(recipe, start=start, folder=folder, resume=resume, force=force, progress=watched(), stop=stop)
    if not done.finished:
        note(f"nounroll: stopped after {done.metrics['steps']:,} steps; continue with: nounroll resume {folder}")
    elif early := [record for record in done.history if record["event"] == "exhausted"]:
        note(f"nounroll: {EARLY.format(**early[-1])}")
    if done.history and done.history[-1]["event"] == "kept":
        note(f"nounroll: {KEPT}")
    if warning := last_warning(done.history):
        note(f"nounroll: {warning}")
    chosen = {"chosen": asdict(done.chosen)} if done.chosen else {}
    return {"run": str(folder), "finished": done.finished, **chosen, "metrics": done.metrics}


def estimate(recipe: Any) -> dict[str, Any]:
    """Estimate a run: its resolved settings, the minimum memory that it takes, and the memory available."""
    from nounroll.experiments import auto, footprint
    from nounroll.experiments.consent import build_task
    from nounroll.experiments.resolve import resolve

    task = build_task(recipe)
    footprint.check_length(recipe, task)
    resolved = resolve(recipe, task)
    found = {"resolved": {**resolved.to_dict(), "recipe": resolved.recipe.to_dict()}}
    pairs = auto.candidates(resolved.recipe, resolved.facts, None) if resolved.recipe.is_open() else []
    named = [recipe.with_given({"method": method, "cell.kind": kind}) for method, kind in pairs] or [recipe]
    settled = [resolve(one, task, resolved.facts).recipe for one in named]
    for one in settled:
        footprint.check_memory(one, task)
    largest = max((footprint.footprint(one, task) for one in settled), key=lambda size: size.total)
    there = {
        name: {"needed": getattr(largest, part), "there": have} for name, part, have in footprint.pools(settled[0])
    }
    return {**found, "candidates": [list(pair) for pair in pairs], "footprint": vars(largest), "memory": there}


def _show_estimate(result: dict[str, Any], console: Console) -> None:
    from nounroll.experiments.footprint import in_words

    resolved = result["resolved"]
    console.print(f"lengths of the curriculum: {', '.join(map(str, resolved['stages']))}")
    for name, reason in resolved["reasons"].items():
        group, _, setting = name.rpartition(".")
        value = (resolved["recipe"][group] if group else resolved["recipe"])[setting]
        console.print(f"{name}: {value}, {reason}", markup=False)
    if result["candidates"]:
        console.print(f"auto tries {', '.join(' '.join(pair) for pair in result['candidates'])}")
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
        if "chosen" in result:
            console.print(f"auto {result['chosen']['reason']}", markup=False)
        console.print(f"{result['run']} is {'finished' if result['finished'] else 'not finished'}")
        console.print(metrics_table(result["metrics"]))
