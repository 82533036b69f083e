"""Command ``nounroll analyze``"""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nounroll.cli.terminal import note, say_if_it_differs
from nounroll.report.numbers import figure, label
from nounroll.storage.files import write_bytes


def analyze(run: Path, *, length: int | None = None, sequences: int = 128) -> dict[str, Any]:
    """Look into a trained network and its teacher: drift, memory, gradients, longer sequences.

    Writes RUN/analysis.json, and pictures into RUN/figures. The teacher comes from the run's newest checkpoint. A
    run of bptt alone has no teacher, and its analysis leaves out what needs one.

    Args:
        run: the run's folder.
        length: T, in time steps; the length in the recipe by default.
        sequences: number of held-out sequences; 128 by default, or all if there are fewer.
    """
    from nounroll.report.pictures import pictures
    from nounroll.report.style import save

    result = measured(run, length, sequences)
    result["figures"] = [str(path) for path in save(pictures(result), run / "figures")]
    return result


def measured(run: Path, length: int | None, sequences: int) -> dict[str, Any]:
    """Return the analysis of a run as plain values, and write it into the run's folder."""
    from nounroll.analysis import analyze
    from nounroll.data.corpus import reads_bytes
    from nounroll.experiments.run_folder import open_student, open_teacher
    from nounroll.methods import parse_chain

    for name, value in (("length", length), ("sequences", sequences)):
        if value is not None and value < 1:
            raise ValueError(f"--{name} is {value}; it must be at least 1")
    recipe, task, student = open_student(run)
    say_if_it_differs(run, task, student)
    links = parse_chain(recipe.method)
    decodes = any(one.decoding for name, one in (("smt", recipe.smt), ("dmt", recipe.dmt)) if name in links)
    found = analyze(
        student,
        open_teacher(run, student),
        task,
        length=length or recipe.length,
        sequences=sequences,
        horizon=recipe.teacher.horizon or recipe.length if decodes else None,
        seed=recipe.training.seed,
    )
    symbols = _symbols(found.geometry.targets) if reads_bytes(task) else {}
    result = {"run": str(run), **found.to_dict(), "symbols": symbols}
    write_bytes(run / "analysis.json", (json.dumps(result) + "\n").encode())
    return result


def _symbols(targets: list[list[float | None]]) -> dict[str, str]:
    """Name the drawn targets, which are bytes, by their characters."""
    seen = {int(target) for row in targets for target in row if target is not None}
    return {str(byte): repr(bytes([byte]).decode(errors="replace")) for byte in sorted(seen)}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(f"{result['run']}: {result['sequences']} held-out sequences of {result['length']} steps")
    console.print(_beside(result))
    if result["drift"] is not None:
        console.print(_drift(result["drift"]))
    if len(result["lengths"]) > 1:
        console.print(_lengths(result))
    note(f"wrote {result['run']}/analysis.json and {len(result['figures'])} pictures into {result['run']}/figures")


def _beside(result: dict[str, Any]) -> Table:
    """Build a table with one column each for student, teacher and guess."""
    columns = {name: result[name] for name in ("student", "teacher") if result[name] is not None}
    table = Table("", *columns, "a constant guess")
    for name in result["student"]["metrics"]:
        values = [figure(name, column["metrics"][name]) for column in columns.values()]
        if result["refitted"] is not None:
            values[1] += f" (refitted {figure(name, result['refitted'][name])})"
        table.add_row(label(name, result["student"]["metrics"]), *values, figure(name, result["guess"].get(name)))
    for name, said in (("rank", "effective rank of memories"), ("variance", "their variance / mean square")):
        table.add_row(said, *(figure(name, column[name]) for column in columns.values()), "")
    ratios = [column["gradients"]["ratio"] for column in columns.values()]
    names = ("BPTT: ", "SMT: ")
    shown = [f"{name}{_ratio(value)}" for name, value in zip(names, ratios, strict=False)]
    table.add_row("|dL/dm_t|, largest / smallest", *shown, "")
    if result["leak"] is not None:
        table.add_row("memory's dependence on the future", "", figure("leak", result["leak"]), "")
        table.add_row("variance explained by one step", figure("explained", result["explained"]), "", "")
    return table


def _ratio(value: float | None) -> str:
    return "beyond float32" if value is None else f"{value:.3g}"


def _drift(drift: dict[str, Any]) -> str:
    level = figure("drift", drift["level"])
    if drift["levels_off"]:
        return f"drift / variance: levels off at {level}, first within 10 % of it at step {drift['reached']}"
    return f"drift / variance: {level} over the last quarter, and still moving"


def _lengths(result: dict[str, Any]) -> Table:
    """Build a table of both kinds at T, 2 T, 4 T, 8 T."""
    shown = [name for name in ("bits", "accuracy", "rmse") if name in result["student"]["metrics"]]
    kinds = [kind for kind in ("student", "teacher") if result[kind] is not None]
    table = Table("length", "sequences", *(f"{kind}'s {name}" for kind in kinds for name in shown))
    for one in result["lengths"]:
        values = [figure(name, (one[kind] or {}).get(name)) for kind in kinds for name in shown]
        table.add_row(f"{one['length']:,}", str(one["sequences"]), *values)
    return table
