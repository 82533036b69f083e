"""Command ``nounroll sweep``"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nounroll.cli.compare import parsed, words
from nounroll.cli.terminal import note
from nounroll.report.numbers import figure, measure


def sweep(
    recipe: Path,
    *,
    setting: str = "cell.memory_width",
    values: str = "4,16,64",
    seconds: float | None = None,
    steps: int | None = None,
    set: tuple[str, ...] = (),
    out: Path | None = None,
) -> dict[str, Any]:
    """Train one recipe with several values of a setting under the same budget.

    Args:
        recipe: YAML file; see recipes/.
        setting: setting to vary; cell.memory_width by default.
        values: values of the setting, separated by commas; 4,16,64 by default.
        seconds: wall-clock budget of each run, in place of the recipe's.
        steps: budget of each run in optimiser steps, in place of the recipe's.
        set: any other setting, such as teacher.width=256; may be given several times.
        out: folder for sweep.json and the picture sweep.png; by default nothing is written.
    """
    from nounroll.experiments.recipe import load
    from nounroll.experiments.sweep import sweep as run_sweep
    from nounroll.report.sweep import save_sweep

    budget = {"training.seconds": seconds, "training.steps": steps}
    overrides = [f"{name}={value}" for name, value in budget.items() if value is not None]
    try:
        wanted = [parsed(word) for word in words(values)]
    except ValueError as error:
        raise ValueError(f"--values is {values!r}; {error}: give values with commas between them") from error
    settings = load(recipe, [*overrides, *set])
    if out is not None:  # a place that cannot be used is told before the runs
        out.mkdir(parents=True, exist_ok=True)
    points = run_sweep(settings, setting, wanted, progress=True)
    result = {"recipe": str(recipe), "setting": setting, "points": [asdict(point) for point in points]}
    if out is not None:
        (out / "sweep.json").write_text(json.dumps(result, indent=1) + "\n")
        save_sweep(result, out / "sweep.png")
        note(f"wrote {out}/sweep.json and {out}/sweep.png")
    return result


def show(result: dict[str, Any], console: Console) -> None:
    metrics = next((point["metrics"] for point in result["points"] if point["metrics"]), {})
    shown = [name for name in ("loss", "bits", measure(metrics), "drift", "steps", "seconds") if name in metrics]
    table = Table(result["setting"], "memory K d", *shown)
    for point in result["points"]:
        values = [figure(name, (point["metrics"] or {}).get(name)) for name in shown]
        table.add_row(str(point["value"]), figure("memory", point["memory"]), *values)
    console.print(table)
