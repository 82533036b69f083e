"""Command ``nounroll compare``"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from nounroll.cli.terminal import note

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)e[+-]?\d+", re.IGNORECASE)


def compare(
    recipe: Path,
    *,
    methods: str = "smt+dmt,tbptt,bptt",
    cells: str = "mlp,gru",
    seconds: float | None = None,
    steps: int | None = None,
    tokens: int | None = None,
    flops: float | None = None,
    sequential_flops: float | None = None,
    seeds: int = 1,
    learning_rates: str | None = None,
    grid: tuple[str, ...] = (),
    lengths: str | None = None,
    figure: Path | None = None,
    set: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Train several methods and cells on one recipe under the same budget, and compare the results.

    A method with smt also gets a row for its teacher, with the readout of the teacher's own memories at the end of smt.

    Args:
        recipe: YAML file; see recipes/.
        methods: chains of smt, dmt, tbptt and bptt, or the baseline transformer, separated by commas;
            smt+dmt,tbptt,bptt by default.
        cells: kinds of cells, separated by commas; mlp,gru by default.
        seconds: wall-clock budget of each run, in place of the recipe's.
        steps: budget of each run in optimiser steps, in place of the recipe's.
        tokens: budget of each run in time steps trained on, in place of the recipe's.
        flops: budget of each run in FLOPs of losses and gradients, in place of the recipe's.
        sequential_flops: budget of each run in FLOPs on the longest chain of dependent operations.
        seeds: number of runs for each method and cell, with seeds 0, 1, ...
        learning_rates: learning rates to try for every method and cell, separated by commas; the best one counts.
            By default, the recipe's rate, or the rate chosen for the method and the data.
        grid: another setting with values to try in the same way, such as training.batch_size=8,16. If given several
            times, every combination is tried.
        lengths: further values of T at which to measure each trained network, separated by commas.
        figure: PNG, SVG or PDF file for the learning curves, against seconds, tokens and FLOPs.
        set: any other setting, such as teacher.width=256; may be given several times.
    """
    from nounroll.experiments.comparison import compare_recipe
    from nounroll.experiments.consent import build_task
    from nounroll.experiments.recipe import load
    from nounroll.report.curves import check_path

    if figure is not None:
        check_path("--figure", figure)
    budget = {
        "seconds": seconds,
        "steps": steps,
        "tokens": tokens,
        "flops": flops,
        "sequential_flops": sequential_flops,
    }
    overrides = [f"training.{name}={value}" for name, value in budget.items() if value is not None]
    settings = load(recipe, [*overrides, *set])
    comparison = compare_recipe(
        settings,
        build_task(settings),
        methods=words(methods),
        cells=words(cells),
        seeds=seeds,
        learning_rates=numbers("--learning-rates", learning_rates, float) if learning_rates else None,
        grid=settings_to_try(grid),
        lengths=numbers("--lengths", lengths, int) if lengths else (),
        progress=True,
    )
    if figure is not None:
        comparison.draw(figure)
        note(f"wrote {figure}")
    return {"recipe": str(recipe), **comparison.to_dict()}


def show(result: dict[str, Any], console: Console) -> None:
    from nounroll.experiments.compared import Comparison, Row

    console.print(Comparison([Row(**row) for row in result["rows"]]).table())


def settings_to_try(grid: Sequence[str]) -> dict[str, list[Any]]:
    """Parse the values of each setting from words such as "training.batch_size=8,16"."""
    found: dict[str, list[Any]] = {}
    for text in grid:
        name, _, values = text.partition("=")
        if name in found:
            raise ValueError(f"--grid has {name} twice; give all its values at once")
        try:
            found[name] = [parsed(word) for word in words(values)]
        except ValueError:
            found[name] = []
        if not found[name]:
            raise ValueError(f"--grid is {text!r}; it must be a setting and its values, as in training.batch_size=8,16")
    return found


def parsed(word: str) -> Any:
    """Parse a value as YAML does; also numbers such as 1e-3, which YAML takes for text.

    Raises:
        ValueError: the word is not YAML.
    """
    try:
        value = yaml.safe_load(word)
    except yaml.YAMLError as error:
        raise ValueError(f"{word!r} is not a value") from error
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(name: str, text: str, kind: type[int] | type[float]) -> list[Any]:
    try:
        found = [kind(word) for word in words(text)]
    except ValueError:
        found = []
    if not found:
        wanted = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"{name} is {text!r}; it must be {wanted} with commas between them")
    return found
