"""Command ``nounroll adapt``"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nounroll.cli import train
from nounroll.cli.terminal import metrics_table, stop_on_signal


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
    many: tuple[str, ...] = (),
    set: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Train a trained network for another task, and keep what it knew.

    The new run starts from the student of RUN and trains it on the new task by BPTT. On sequences of the old task,
    drawn from RUN's own data, a penalty keeps the student close to what it was.

    Args:
        run: the folder of the run whose student is adapted.
        task: kind of the new task (nounroll tasks lists them); by default the task of RUN with its options. Set
            options with --set, such as task.options.path=FILE.
        head: keep (the readout of RUN) or new (a new readout). Targets of another space need a new one.
        anchor: weight of the penalty for changed memories and predictions; 0.7 by default, 0 for none.
        rehearse: share of the sequences that come from the old task; 0.25 by default.
        update: weights to train: all, the readout only, the readout and a low-rank update of the cell's matrices
            (low-rank), or the empty memory only (start).
        seconds: wall-clock budget; 120 if --steps is not given either.
        steps: budget in optimiser steps.
        length: T, in time steps; the length of RUN by default.
        seed: seed of the data and all random choices.
        out: folder of the new run; runs/adapted-NAME by default.
        many: several tasks, each with a small readout on the unchanged network: a name and a recipe with
            the task and its length, such as tags=tags.yaml; may be given several times. OUT holds the network once, and
            all readouts.
        set: any other setting, such as training.learning_rate=0.0005; may be given several times.
    """
    from nounroll.experiments.recipe import Origin, parse
    from nounroll.experiments.rehearsal import with_rehearsal
    from nounroll.experiments.run_folder import CUSTOM, open_run
    from nounroll.experiments.warm_start import start_from
    from nounroll.methods import ADAPT

    if many:
        alone = {"task": task, "anchor": anchor, "rehearse": rehearse, "set": set or None}
        alone |= {"head": None if head == "keep" else head, "update": None if update == "all" else update}
        if refused := [name for name, value in alone.items() if value is not None]:
            raise ValueError(f"--many is given, and --{refused[0]} too; it is for one task: leave it out")
        return _many(run, many, out, {"length": length, "seconds": seconds, "steps": steps, "seed": seed or 0})
    if head not in ("keep", "new"):
        raise ValueError(f"--head is {head!r}; it must be keep or new")
    old, folder = open_run(run)
    start = start_from(folder, ADAPT, ["head"] if head == "new" else [])
    if rehearse != 0 and old.task.kind != CUSTOM:
        start = with_rehearsal(start, folder)
    assert start is not None
    named = {"adapt.anchor": anchor, "adapt.rehearse": rehearse, "adapt.update": update, "training.seed": seed}
    new_task = asdict(old.task) if task is None else {"kind": task}
    tree: dict[str, Any] = {"name": f"adapted-{old.name}", "task": new_task, "method": ADAPT}
    tree["length"] = old.length if length is None else length
    budget = {"steps": steps} if steps is not None else {"seconds": 120.0 if seconds is None else seconds}
    if steps is not None and seconds is not None:
        raise ValueError(f"--seconds is {seconds:g} and --steps is {steps}; give one of them")
    overrides = [f"{name}={value}" for name, value in named.items() if value is not None]
    recipe = start.applied(parse({**tree, "training": budget}, [*overrides, *set]))
    if task is None:  # paths that the run names need consent, and paths of this command do not
        typed = frozenset(one.partition("=")[0].strip() for one in set)
        recipe = replace(recipe, origin=Origin(folder.absolute(), typed))
    return train.run_in(out or Path("runs") / recipe.name, recipe, start=start)


def _many(run: Path, many: tuple[str, ...], out: Path | None, options: dict[str, Any]) -> dict[str, Any]:
    """Train a readout for each of several tasks."""
    from nounroll.experiments.consent import build_task
    from nounroll.experiments.many import adapt_many
    from nounroll.experiments.recipe import load
    from nounroll.experiments.run_folder import open_run

    pairs = [one.partition("=") for one in many]
    if wrong := [one for one, (name, _, path) in zip(many, pairs, strict=True) if not (name and path)]:
        raise ValueError(f"--many got {wrong[0]!r}; it takes NAME=RECIPE, such as tags=tags.yaml")
    recipes = {name: load(path) for name, _, path in pairs}
    if len(recipes) < len(pairs):
        raise ValueError(f"--many has {len(pairs)} tasks with {len(recipes)} names; give each a name of its own")
    folder = out or Path("runs") / f"heads-{open_run(run)[0].name}"
    if folder.exists():
        raise ValueError(f"--out is {folder}, which is there already; give another folder, or remove it")
    lengths = {name: options["length"] or recipe.length for name, recipe in recipes.items()}
    tasks = {name: build_task(recipe) for name, recipe in recipes.items()}
    with stop_on_signal() as stop:
        heads = adapt_many(run, tasks, **{**options, "length": lengths}, stop=stop)
        heads.save_pretrained(folder)
        return {"heads": str(folder), "finished": not stop(), "metrics": heads.metrics}


def show(result: dict[str, Any], console: Console) -> None:
    if "heads" not in result:
        train.show(result, console)
        return
    console.print(f"{result['heads']} holds {len(result['metrics'])} heads on one network")
    for name, metrics in result["metrics"].items():
        console.print(name, markup=False)
        console.print(metrics_table(metrics))
