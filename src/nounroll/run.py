"""A run: from a recipe to a trained student, in memory or in a folder.

A run's folder is readable without this program::

    recipe.yaml      all settings, defaults written out
    metrics.jsonl    one record per line
    checkpoints/     see nounroll.checkpoint
    student/         model.safetensors and config.json: all that is deployed
    metrics.json     the last figures
"""

import copy
import fcntl
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nounroll import checkpoint, data
from nounroll.assembly import build, link
from nounroll.cells import build_cell
from nounroll.cells.base import check_cell, constrain
from nounroll.data.task import SequenceTask, draw
from nounroll.footprint import check_memory
from nounroll.machine import launched
from nounroll.methods import TRANSFORMER, parse_chain
from nounroll.methods.cost import COSTS
from nounroll.recipe import Recipe, load, parse
from nounroll.rollout.evaluate import evaluate
from nounroll.student import Student
from nounroll.teacher import Teacher, build_teacher
from nounroll.training.loop import Loop
from nounroll.transformer import CausalTransformer

CUSTOM = "custom"  # the kind of a task that is an object of the user's


@dataclass
class Run:
    """What ``fit`` returns.

    Attributes:
        recipe: all settings.
        model: trained; on the CPU, in evaluation mode. A student, or a Transformer after the method transformer.
        metrics: loss (nats per scored element), bits, accuracy or rmse, drift, steps, tokens, flops,
            sequential_flops, seconds; measured on held-out sequences that training never looked at.
        history: the records of metrics.jsonl.
        teacher: for analysis; None after a method without smt.
        task: source of the sequences.
        folder: where it is kept, or None.
        finished: False when it was stopped before its budget was spent.
    """

    recipe: Recipe
    model: Student | CausalTransformer
    metrics: dict[str, float]
    history: list[dict[str, Any]] = field(repr=False)
    teacher: Teacher | None = field(repr=False)
    task: SequenceTask = field(repr=False)
    folder: Path | None = None
    finished: bool = True

    @property
    def student(self) -> Student:
        """The trained student.

        Raises:
            ValueError: the method was transformer, which trains none.
        """
        if not isinstance(self.model, Student):
            raise ValueError(f"method was {TRANSFORMER!r}, which trains no student; run.model is the Transformer")
        return self.model

    @property
    def teacher_metrics(self) -> dict[str, float] | None:
        """The metrics of the student's teacher, with what it had cost when smt ended; None without one.

        Measured on the same sequences as ``metrics``, by the student's readout as smt left it.
        """
        records = [record for record in self.history if record["event"] == "teacher"]
        return _figures(records[-1]) if records else None


def fit(
    task: SequenceTask,
    *,
    method: str = "smt+dmt",
    cell: str | nn.Module = "mlp",
    length: int = 128,
    seconds: float | None = None,
    steps: int | None = None,
    tokens: int | None = None,
    flops: float | None = None,
    sequential_flops: float | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> Run:
    """Train a recurrent network on a task.

    Args:
        task: the user's own, or one of ``nounroll.data``.
        method: chain of smt, dmt and bptt; or the baseline transformer, which has no cell.
        cell: a kind (mlp, transformer, gru, lstm, elman, tape, mingru) or a module (see ``nounroll.cells.base``),
            which is trained in place.
        length: T, in time steps.
        seconds: wall-clock budget; 120 when the four others are left out too.
        steps, tokens, flops, sequential_flops: a budget of another kind in its place (see
            ``nounroll.training.settings``).
        seed: of data, weights and all random choices.
        out: folder to keep the run in; nothing is written without it.
        settings: any other setting of a recipe, by its dotted name: ``{"teacher.width": 256}``.
        progress: show a bar on stderr.

    Raises:
        ValueError: a setting, the task's data or the cell is not usable; the message says which and why.
    """
    if not isinstance(task, SequenceTask):
        raise ValueError(f"task is a {type(task).__name__}; it must be a nounroll.SequenceTask")
    if not isinstance(cell, str | nn.Module):
        raise ValueError(f"cell is a {type(cell).__name__}; it must be a kind such as 'mlp', or a torch.nn.Module")
    kind, own_cell = (cell, None) if isinstance(cell, str) else (None, cell)
    budget = {
        "seconds": seconds,
        "steps": steps,
        "tokens": tokens,
        "flops": flops,
        "sequential_flops": sequential_flops,
    }
    recipe = plan(method, kind, length=length, budget=budget, seed=seed, settings=settings)
    return train(recipe, task, own_cell, folder=Path(out) if out else None, progress=progress)


def plan(
    method: str,
    cell: str | None,
    *,
    length: int,
    budget: Mapping[str, float | None],
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe that ``fit`` trains by, for a task (and a cell, when it is None) of the user's own.

    ``budget`` has the names of ``BUDGETS``; 120 seconds when all are None.

    Raises:
        ValueError: a setting is not usable; the message says which and why.
    """
    tree: dict[str, Any] = {"task": {"kind": CUSTOM}, "length": length, "method": method, "training": {"seed": seed}}
    if cell is not None:
        tree["cell"] = {"kind": cell}
    tree["training"] |= {name: value for name, value in budget.items() if value is not None} or {"seconds": 120.0}
    return parse(tree, [f"{name}={json.dumps(value)}" for name, value in (settings or {}).items()])


def train(
    recipe: Recipe,
    task: SequenceTask | None = None,
    cell: nn.Module | None = None,
    *,
    folder: Path | None = None,
    resume: bool = False,
    progress: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train what a recipe says, or go on with a run that was interrupted.

    Args:
        recipe: all settings.
        task: in place of the recipe's, for a task that is the user's own object.
        cell: in place of the recipe's, for the user's own module.
        folder: where the run is kept; None keeps nothing. Of several processes (``torchrun``) the first keeps it.
        resume: go on from the newest checkpoint in ``folder``; from the start when it died before the first.
        progress: show a bar on stderr.
        stop: asked after each step; True ends the run with a checkpoint.

    Raises:
        ValueError: the data, the cell or the folder is not usable, or the run needs more memory than there is.
        TrainingError: the losses stopped being finite.
    """
    if launched()[0]:
        folder = None  # the first process writes for all
    task = task or data.build(recipe.task.kind, recipe.task.options)
    if cell is not None:
        if recipe.training.shard:
            raise ValueError("training.shard is True; it needs a cell that can be built again, give its kind")
        _check_own_cell(cell, recipe, task)
    check_memory(recipe, task, cell, kept=folder is not None)
    chain = parse_chain(recipe.method)
    seed = recipe.training.seed
    example = draw(task, 2, recipe.length, seed, "trial")
    draw(task.validation(), 2, recipe.length, seed, "trial")
    scored = float(example.mask.float().mean())
    dmt = recipe.dmt.suited_to(scored, alike=recipe.training.compile or recipe.training.accumulate > 1)
    recipe = replace(recipe, smt=recipe.smt.suited_to(scored), dmt=dmt)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, teacher = build(recipe, task, cell)
    if recipe.smt.teacher is not None and teacher is not None:
        _take_teacher(recipe, model, teacher)
    links = [link(name, recipe, model, teacher) for name in chain]
    loop = Loop(  # before the folder is touched: it refuses a device that is not there
        task=task, length=recipe.length, student=model, teacher=teacher, chain=links,
        settings=recipe.training, folder=folder, recipe=recipe.to_dict(), progress=progress,
    )  # fmt: skip
    with ExitStack() as held:
        loop.engine.by_first(lambda: _enter(folder, None if resume else recipe, held))
        if resume:
            loop.load()
        finished = loop.run(stop)
        if loop.engine.sharded:
            model, teacher = build(recipe, task, None)
            loop.hand_over(model, teacher)
        for part in (model, teacher):
            if part is not None:
                part.to("cpu").eval()
        metrics = _final_metrics(loop)
        if folder is not None:
            model.save_pretrained(folder / ("student" if isinstance(model, Student) else TRANSFORMER))
            _write(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    return Run(recipe, model, metrics, loop.history, teacher, task, folder, finished)


def open_run(folder: str | Path) -> tuple[Recipe, Path]:
    """The recipe of a run's folder.

    Raises:
        ValueError: the folder holds no run.
    """
    folder = Path(folder)
    if not (folder / "recipe.yaml").is_file():
        raise ValueError(f"{folder} holds no run; there is no recipe.yaml in it")
    return load(folder / "recipe.yaml"), folder


def open_student(folder: str | Path) -> tuple[Recipe, SequenceTask, Student]:
    """Recipe, task and trained student of a run's folder.

    Raises:
        ValueError: the folder holds no run, its task is the user's own, its method was transformer, or nothing was
            trained yet.
    """
    recipe, folder = open_run(folder)
    if recipe.task.kind == CUSTOM:
        raise ValueError(f"{folder} was trained on a task of your own; open it in Python, with that task")
    if recipe.method == TRANSFORMER:
        raise ValueError(f"{folder} holds a Transformer and no student; its figures are in {folder}/metrics.json")
    if not (folder / "student" / "config.json").is_file():
        raise ValueError(f"{folder} holds no trained student yet; go on with: nounroll resume {folder}")
    return recipe, data.build(recipe.task.kind, recipe.task.options), Student.from_pretrained(folder / "student")


def open_teacher(folder: str | Path, student: Student) -> Teacher | None:
    """The teacher of the student in a run's folder, in evaluation mode; None where there is none.

    A run of bptt alone has no teacher, and a folder whose checkpoints were removed keeps none.

    Raises:
        ValueError: the folder holds no run, or its newest checkpoint is damaged or not of its recipe.
    """
    recipe, folder = open_run(folder)
    newest = checkpoint.newest(folder / "checkpoints")
    if "smt" not in parse_chain(recipe.method) or newest is None:
        return None
    with torch.random.fork_rng(devices=[]):
        teacher = build_teacher(recipe.teacher, student.inputs, student.targets, student.cell)
    try:
        teacher.load_state_dict(checkpoint.read(newest)[0]["teacher"])
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise checkpoint.CheckpointError(f"{newest} does not fit the run's recipe: {reason}") from error
    return teacher.eval()


def _take_teacher(recipe: Recipe, model: Student | CausalTransformer, teacher: Teacher) -> None:
    """Give a teacher the weights of that of the run ``smt.teacher``.

    Raises:
        ValueError: there is no such run or teacher, or it does not fit.
    """
    asked = f"smt.teacher is {recipe.smt.teacher}"
    try:
        theirs, folder = open_run(recipe.smt.teacher or "")
        newest = checkpoint.newest(folder / "checkpoints")
        weights = checkpoint.read(newest)[0].get("teacher") if newest else None
    except ValueError as error:
        raise ValueError(f"{asked}; {error}") from error
    if weights is None:
        raise ValueError(
            f"{asked}; that run has no teacher: its method is {theirs.method}, or its checkpoints are gone"
        )
    for one in fields(theirs.teacher):
        mine, its = getattr(recipe.teacher, one.name), getattr(theirs.teacher, one.name)
        if mine != its and one.name != "recompute":
            raise ValueError(f"{asked}; there teacher.{one.name} is {its!r}, here {mine!r}: set it to {its!r}")
    try:
        teacher.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split("\n")[1:2]).strip()
        raise ValueError(f"{asked}; its teacher is of another task or memory: {reason}") from error
    config = folder / "student" / "config.json"
    if config.is_file() and json.loads(config.read_bytes())["cell"]["kind"] == "custom":
        raise ValueError(f"{asked}, of a cell of your own: what its memories can be is not known")
    with torch.random.fork_rng(devices=[]):
        cell = build_cell(theirs.cell, model.inputs)
    raw = torch.linspace(-3, 3, math.prod(teacher.memory_shape)).view(1, *teacher.memory_shape)
    if not torch.equal(constrain(cell, raw), constrain(model.cell, raw)):  # type: ignore[union-attr]
        raise ValueError(f"{asked}, of a {theirs.cell.kind} cell: its memories have another range than this cell's")


def _check_own_cell(cell: nn.Module, recipe: Recipe, task: SequenceTask) -> None:
    if recipe.method == TRANSFORMER:
        raise ValueError(f"cell is a {type(cell).__name__}; the method {TRANSFORMER} has no cell")
    check_cell(cell, task.inputs, task.inputs.zeros(2))


def _final_metrics(loop: Loop) -> dict[str, float]:
    """The last figures, on a fresh draw of held-out sequences, and what they cost."""
    labels = loop.teacher.memories if loop.teacher else None
    metrics: dict[str, float] = evaluate(loop.student, loop.test_batches(), labels)
    metrics |= {name: loop.counters.spent(name) for name in ("steps", "tokens", *COSTS)}
    metrics["seconds"] = round(loop.counters.spent("seconds"), 2)
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _figures(record: Mapping[str, Any]) -> dict[str, float]:
    """The metrics in a record of the history."""
    names = ("loss", "bits", "accuracy", "rmse", "step", "tokens", *COSTS, "seconds")
    found = {name: record[name] for name in names if name in record and math.isfinite(record[name])}
    return {"steps" if name == "step" else name: value for name, value in found.items()}


def _enter(folder: Path | None, recipe: Recipe | None, held: ExitStack) -> None:
    """Hold a run's folder until ``held`` is left, and start it when there is a recipe."""
    if folder is not None:
        held.enter_context(_held(folder))
        if recipe is not None:
            _claim(folder, recipe)


def _claim(folder: Path, recipe: Recipe) -> None:
    """Start a run's folder, unless another run is in it."""
    if (folder / "recipe.yaml").exists() or (folder / "checkpoints").exists():
        raise ValueError(f"{folder} already holds a run; choose another folder, or: nounroll resume {folder}")
    _write(folder / "recipe.yaml", recipe.to_yaml())


def _write(path: Path, text: str) -> None:
    """Write a small file whole or not at all, whenever the process dies."""
    beside = path.with_name(f".{path.name}")
    try:
        beside.write_text(text)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep a second process out of a run's folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise ValueError(f"run folder {folder} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ValueError(f"{folder} is in use by another process; wait for it or choose another folder") from None
    else:
        try:
            yield
        except OSError as error:  # a full disk, say: a failed write does not know its file
            error.filename = error.filename or str(folder)
            raise
    finally:
        os.close(descriptor)


def copy_cell(cell: str | nn.Module) -> str | nn.Module:
    """A cell for one more run: a module is trained in place, so each run gets its own."""
    return cell if isinstance(cell, str) else copy.deepcopy(cell)


__all__ = ["CUSTOM", "Run", "copy_cell", "fit", "open_run", "open_student", "open_teacher", "plan", "train"]
