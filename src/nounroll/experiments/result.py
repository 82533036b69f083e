"""Result of a run: the trained models with their final metrics."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from nounroll.data.task import SequenceTask
from nounroll.experiments.assembly import build
from nounroll.experiments.auto import Chosen
from nounroll.experiments.beginning import Beginning
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.resolve import Resolved
from nounroll.experiments.run_folder import write_json
from nounroll.methods import TRANSFORMER, Adapt
from nounroll.methods.cost import COSTS
from nounroll.models.student import Student
from nounroll.nn.low_rank import add_low_rank, has_low_rank, merge_low_rank
from nounroll.rollout.evaluate import evaluate_task, validation_batches
from nounroll.rollout.forgetting import forgetting
from nounroll.rollout.transformer import CausalTransformer
from nounroll.teacher import Teacher
from nounroll.training.loop import Loop


@dataclass
class Run:
    """Result of ``fit``.

    Attributes:
        recipe: all settings.
        model: the trained model, on the CPU, in evaluation mode: a student, or a Transformer (method transformer).
        metrics: loss (nats per scored element), bits, accuracy or rmse, drift, steps, tokens, flops,
            sequential_flops, seconds; measured on held-out sequences that training never used.
        history: the records of metrics.jsonl.
        teacher: the teacher, for analysis; None if no method of the chain has one.
        task: source of the sequences.
        chosen: the decision of ``auto`` with its measurements; None if method and cell were given.
        folder: the run's folder, or None.
        finished: False if the run was stopped before its budget was spent.
    """

    recipe: Recipe
    model: Student | CausalTransformer
    metrics: dict[str, float]
    history: list[dict[str, Any]] = field(repr=False)
    teacher: Teacher | None = field(repr=False)
    task: SequenceTask = field(repr=False)
    chosen: Chosen | None = None
    folder: Path | None = None
    finished: bool = True

    @property
    def student(self) -> Student:
        """The trained student.

        Raises:
            ValueError: the method was transformer, which trains no student.
        """
        if not isinstance(self.model, Student):
            raise ValueError(f"method was {TRANSFORMER!r}, which trains no student; run.model is the Transformer")
        return self.model

    @property
    def teacher_metrics(self) -> dict[str, float] | None:
        """Metrics of the student's teacher, with the cost of training up to the end of smt; None without a teacher.

        They are measured on the same sequences as ``metrics``, with the student's readout at the end of smt.
        """
        records = [record for record in self.history if record["event"] == "teacher"]
        return _figures(records[-1]) if records else None


def hand_over(
    loop: Loop,
    resolved: Resolved,
    cell: nn.Module | None,
    begun: Beginning,
    chosen: Chosen | None,
    finished: bool,
) -> Run:
    """Finish a run: measure it, write it, and return unsharded models on the CPU in evaluation mode."""
    model, teacher, folder = loop.student, loop.teacher, begun.folder
    if loop.engine.sharded:
        model, teacher = build(resolved.recipe, resolved.facts, None)
        if isinstance(model, Student) and has_low_rank(loop.student):
            add_low_rank(model.cell)
        loop.state.hand_over(model, teacher)
    for part in (model, teacher):
        if part is not None:
            part.to("cpu").eval()
    merge_low_rank(model)
    if cell is not None and isinstance(model, Student) and model.cell is not cell:  # trials use copies of the cell
        cell.load_state_dict(model.cell.state_dict())
        model.cell = cell.eval()
    if isinstance(model, Student):
        model.trained_on = begun.kept
    metrics = _final_metrics(loop, model, teacher)
    if folder is not None:
        model.save_pretrained(folder / ("student" if isinstance(model, Student) else TRANSFORMER))
        write_json(folder / "metrics.json", metrics)
    return Run(resolved.recipe, model, metrics, loop.history, teacher, begun.task, chosen, folder, finished)


def _final_metrics(loop: Loop, model: Student | CausalTransformer, teacher: Teacher | None) -> dict[str, float]:
    """Compute the final metrics, on held-out sequences that no choice has used, and the cost of training."""
    labels = teacher.kept if teacher else None
    metrics: dict[str, float] = evaluate_task(loop.task, model, loop.observer.test_batches(), labels)
    if isinstance(method := loop.chain[-1].method, Adapt):
        metrics |= _forgotten(method, model, loop)
    metrics |= {name: loop.counters.spent(name) for name in ("steps", "tokens", *COSTS)}
    metrics["seconds"] = round(loop.counters.spent("seconds"), 2)
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _forgotten(method: Adapt, model: Student | CausalTransformer, loop: Loop) -> dict[str, float]:
    """Measure what an adapted student has forgotten, on the test part of its rehearsal task or else of its new task."""
    assert isinstance(model, Student)
    task = method.rehearsal or loop.task
    length = min(loop.length, task.max_length or loop.length)
    batches = validation_batches(task, 0, length, loop.settings.seed, stream="test")
    same = method.keeps_readout and method.rehearsal is not None
    return forgetting(method.old.cpu(), model, batches, same_readout=same)


def _figures(record: Mapping[str, Any]) -> dict[str, float]:
    """Select the metrics in a record of the history."""
    names = ("loss", "bits", "accuracy", "rmse", "step", "tokens", *COSTS, "seconds")
    found = {name: record[name] for name in names if name in record and math.isfinite(record[name])}
    return {"steps" if name == "step" else name: value for name, value in found.items()}
