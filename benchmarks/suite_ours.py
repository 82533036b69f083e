"""The library on the everyday suite: ``nounroll.fit`` with a task, a length, a budget and a seed, and nothing else.

Or, where methods are to stand side by side, with a method, a cell and a learning rate besides.
"""

import time
from dataclasses import asdict
from typing import Any

import torch
from suite_tasks.problem import Batch, Finite, Numbers, Predict, Problem, Sampled, Space, Symbols
from torch import Tensor
from tuning import Budget, Result

import nounroll

RATES = (3e-3, 6e-3, 1.2e-2)  # of a method and a cell


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


def fit(problem: Problem, budget: Budget, seed: int) -> tuple[Predict, dict[str, Any]]:
    """Train, and give a prediction and what is to be told of the run."""
    run = nounroll.fit(task(problem), length=problem.length, seed=seed, **budget.named)
    chosen: Any = getattr(run, "chosen", None)  # a dataclass: method, cell, reason, and the trials it is had from
    told = {"method": run.recipe.method, "cell": run.recipe.cell.kind} if chosen is None else asdict(chosen)
    return _predict(problem, run.student), {"steps": run.metrics.get("steps"), "chosen": told, "metrics": run.metrics}


def train(problem: Problem, contender: str, budget: Budget, seed: int, rate: float) -> Result:
    """Train a contender METHOD/CELL.

    Raises:
        ValueError: there is no such method or cell.
    """
    method, cell = contender.split("/")
    start = time.process_time()
    run = nounroll.fit(
        task(problem),
        method=method,
        cell=cell,
        length=problem.length,
        seed=seed,
        settings={"training.learning_rate": rate},
        **budget.named,
    )
    seconds, predict, metrics = time.process_time() - start, _predict(problem, run.student), run.metrics
    steps, tokens = int(metrics["steps"]), int(metrics["tokens"])
    return Result(predict, rate, problem.validate(predict), metrics["loss"], steps, tokens, seconds)


def _predict(problem: Problem, student: nounroll.Student) -> Predict:
    def predict(inputs: Tensor) -> Tensor:
        with torch.no_grad():
            outputs = student.readout(student.rollout(inputs)[:, 1:])
        return outputs[..., : problem.targets.d] if isinstance(problem.targets, Numbers) else outputs

    return predict
