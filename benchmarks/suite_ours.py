"""The library on the everyday suite: ``nounroll.fit`` with a task, a length, a budget and a seed, and nothing else."""

from dataclasses import asdict
from typing import Any

import torch
from suite_tasks.problem import Batch, Finite, Numbers, Predict, Problem, Sampled, Space, Symbols
from torch import Tensor

import nounroll


def space(of: Space) -> Any:
    """The library's space for one of the suite."""
    return nounroll.Categorical(of.n) if isinstance(of, Symbols) else nounroll.Real(of.d)


class SampledTask(nounroll.SequenceTask):
    """A problem whose sequences are drawn."""

    def __init__(self, problem: Sampled, part: str = "train") -> None:
        self.problem, self.part = problem, part
        self.inputs, self.targets = space(problem.inputs), space(problem.targets)
        self.autoregressive = problem.stream is not None

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> nounroll.Batch:
        return _batch(self.problem.draw(self.part, batch_size, length, generator))

    def validation(self) -> "SampledTask":
        return SampledTask(self.problem, "validation")


def _batch(batch: Batch) -> nounroll.Batch:
    return nounroll.Batch(inputs=batch.inputs, targets=batch.targets, mask=batch.mask)


def task(problem: Problem) -> nounroll.SequenceTask:
    """A problem as the library's user would hand it over, without its test part.

    Where the library measures a test part of its own after training, the validation part stands in for it.
    """
    if isinstance(problem, Sampled):
        return SampledTask(problem)
    assert isinstance(problem, Finite)
    train, validation = problem.rows("train"), problem.rows("validation")
    rows = [*train, *validation, *validation]
    split = ["train"] * len(train) + ["validation"] * len(validation) + ["test"] * len(validation)
    inputs = [problem.sequences[row] for row in rows]
    if problem.labels is not None:
        found = nounroll.Sequences(inputs, labels=problem.labels[rows], split=split)
    else:
        assert problem.steps is not None
        found = nounroll.Sequences(inputs, targets=[problem.steps[row] for row in rows], split=split)
    assert (found.inputs, found.targets) == (space(problem.inputs), space(problem.targets))
    return found


def fit(problem: Problem, seconds: float, seed: int) -> tuple[Predict, dict[str, Any]]:
    """Train, and give a prediction and what is to be told of the run."""
    run = nounroll.fit(task(problem), length=problem.length, seconds=seconds, seed=seed)
    student = run.student

    def predict(inputs: Tensor) -> Tensor:
        with torch.no_grad():
            outputs = student.readout(student.rollout(inputs)[:, 1:])
        return outputs[..., : problem.targets.d] if isinstance(problem.targets, Numbers) else outputs

    chosen: Any = getattr(run, "chosen", None)  # a dataclass: method, cell, reason, and the trials it is had from
    told = {"method": run.recipe.method, "cell": run.recipe.cell.kind} if chosen is None else asdict(chosen)
    return predict, {"steps": run.metrics.get("steps"), "chosen": told, "metrics": run.metrics}
