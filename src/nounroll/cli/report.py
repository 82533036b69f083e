"""Command ``nounroll report``"""

from pathlib import Path
from typing import Any

from rich.console import Console

from nounroll.cli.analyze import measured
from nounroll.cli.terminal import check_folder, last_warning
from nounroll.report.numbers import figure, is_past, measure
from nounroll.storage.files import write_bytes

_BIT = (
    "Bits say how much of a surprise the right answer was: 0 is certainty, and each bit doubles the number of answers"
    " between which the network wavers."
)

_LEAK = 1e-4  # share of the variance of memories; rounding is far below


def report(run: Path, *, length: int | None = None, sequences: int = 128, out: Path | None = None) -> dict[str, Any]:
    """Write one HTML page about a run: samples, training, drift, memory, gradients, settings.

    The command first runs nounroll analyze. The page is one file that loads nothing from elsewhere.

    Args:
        run: the run's folder.
        length: T of the analysis, in time steps; the length in the recipe by default.
        sequences: number of held-out sequences; 128 by default, or all if there are fewer.
        out: file to write the page to; RUN/report.html by default.
    """
    from importlib.metadata import version

    from nounroll.cli.samples import classes, foretold, piano_roll, samples
    from nounroll.experiments.run_folder import open_student
    from nounroll.methods import method_class, parse_chain
    from nounroll.report.page import page
    from nounroll.report.pictures import pictures
    from nounroll.report.style import save
    from nounroll.report.training import training_picture
    from nounroll.training.log import read_records

    check_folder("--out", out)
    found = measured(run, length, sequences)
    recipe, task, student = open_student(run)
    history = read_records(run / "metrics.jsonl")
    series = foretold(student, task, found["length"], recipe.training.seed)
    told = classes(student, task, found["length"], recipe.training.seed)
    roll = piano_roll(student, task, recipe.training.seed)
    drawn = [one for one in (roll, series, told, training_picture(history), *pictures(found)) if one is not None]
    tokens, width = student.memory_shape
    values = {
        "title": recipe.name,
        "about": _about(recipe, task),
        "memory": f"{tokens * width:,}",
        "method": " ".join(method_class(name).summary for name in parse_chain(recipe.method)),
        "cards": _cards(found, task.autoregressive),
        "verdict": _verdict(found),
        "warnings": _warnings(found, history),
        "samples": samples(student, task, found["length"], recipe.training.seed),
        "facts": _facts(recipe, student, found, history),
        "recipe": recipe.to_yaml(),
        "run": str(run),
        "version": version("nounroll"),
    }
    path = out or run / "report.html"
    text = page(values, dict(zip(save(drawn, run / "figures"), drawn, strict=True)))
    write_bytes(path, text.encode())
    return {"run": str(run), "report": str(path), "pictures": [one.name for one in drawn]}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(f"wrote {result['report']}", soft_wrap=True)


def _about(recipe: Any, task: Any) -> str:
    """Describe cell, method and task."""
    what = (type(task).__doc__ or "").partition("\n")[0].replace("``", "")
    chain = ", then ".join(name.upper() for name in recipe.method.split("+"))
    return f"A network with a cell of kind {recipe.cell.kind}, trained by {chain}. Its task: {recipe.task.kind}. {what}"


def _cards(found: dict[str, Any], autoregressive: bool) -> list[dict[str, str]]:
    """Collect the most informative metric of the network, its teacher and a guess."""
    metrics = found["student"]["metrics"]
    name = "bits" if autoregressive and "accuracy" in metrics else measure(metrics)
    labels = {
        "student": "the network alone",
        "teacher": "its teacher's memories, by a readout fitted to them",
        "guess": "a constant guess",
    }
    values = {"student": metrics, "teacher": found["refitted"], "guess": found["guess"]}
    unit = {"accuracy": " right"}.get(name, f" {name}")
    return [
        {"kind": kind, "value": figure(name, values[kind][name]) + unit, "label": label}
        for kind, label in labels.items()
        if values[kind]
    ]


def _verdict(found: dict[str, Any]) -> str:
    where = f"On {found['sequences']} held-out sequences of {found['length']} steps"
    bits, guess = found["student"]["metrics"]["bits"], found["guess"].get("bits")
    said = f"{where} the network alone needs {_bits(bits)} bits per scored element"
    if guess is not None:
        said += f"; the best constant guess needs {_bits(guess)}"
    if found["teacher"] is not None:
        same, fitted = found["teacher"]["metrics"]["bits"], found["refitted"]["bits"]
        said += f". Its teacher's memories need {_bits(same)} by the same readout, and {_bits(fitted)} by one that was"
        said += f" fitted to them: the network is {'' if is_past(found) else 'not '}past its teacher"
    return f"{said}. {_BIT}" if "accuracy" in found["student"]["metrics"] else f"{said}."


def _bits(value: float) -> str:
    return "less than 0.001" if 0 <= value < 0.001 else f"{value:.3f}"


def _warnings(found: dict[str, Any], history: list[dict[str, Any]]) -> list[str]:
    warning = last_warning(history)
    lines = [f"At the last evaluation, {warning}."] if warning else []
    if found["leak"] is not None and found["leak"] > _LEAK:
        lines.append(
            f"The teacher's memories change with inputs that come after them, by {found['leak']:.2g} of their variance:"
            " it sees the future, and its figures mean nothing."
        )
    return lines


def _facts(recipe: Any, student: Any, found: dict[str, Any], history: list[dict[str, Any]]) -> list[tuple[str, str]]:
    last = history[-1] if history else {}
    facts = {
        "held-out sequences": f"{found['sequences']} of {found['length']} steps",
        "trained at length": f"{recipe.length}",
        "memory": "{} tokens of width {}".format(*student.memory_shape),
        "parameters of the network": f"{sum(p.numel() for p in student.parameters()):,}",
        **{name: figure(name, last.get(name)) for name in ("tokens", "seconds")},
        "effective rank of its memories": figure("rank", found["student"]["rank"]),
    }
    if found["drift"] is not None:
        facts["drift / variance, last quarter"] = figure("drift", found["drift"]["level"])
    return list(facts.items())
