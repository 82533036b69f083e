"""Command ``nounroll evaluate``"""

import math
from pathlib import Path
from typing import Any

from rich.console import Console

from nounroll.cli.terminal import metrics_table, say_if_it_differs


def evaluate(run: Path, *, sequences: int = 256) -> dict[str, Any]:
    """Measure a trained network on held-out sequences.

    The network starts from its empty memory and reads each sequence once, without the teacher. In a stream it carries
    its memory on; the command also prints figures from the empty memory in each sequence. If the run's folder has a
    teacher, the command also prints the figures of the same readout on the teacher's memories.

    Args:
        run: the run's folder.
        sequences: number of held-out sequences; 256 by default, or all if there are fewer.
    """
    from nounroll.experiments.run_folder import open_student, open_teacher
    from nounroll.rollout import evaluate as rollout

    if sequences < 1:
        raise ValueError(f"--sequences is {sequences}; it must be at least 1")
    recipe, task, student = open_student(run)
    say_if_it_differs(run, task, student)
    batches = rollout.validation_batches(task, sequences, recipe.length, recipe.training.seed, stream="test")
    teacher = open_teacher(run, student)
    beside = None if teacher is None else rollout.evaluate_teacher(student, batches, teacher.memories)
    return {
        "run": str(run),
        "sequences": sum(len(batch.inputs) for batch in batches),
        "length": recipe.length,
        "metrics": _finite(rollout.evaluate_task(task, student, batches)),
        "teacher": None if beside is None else _finite(beside),
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(f"{result['run']}: {result['sequences']} held-out sequences of {result['length']} steps")
    console.print(metrics_table(result["metrics"]))
    if result["teacher"] is not None:
        console.print("its teacher's memories, read by the same readout:")
        console.print(metrics_table(result["teacher"]))


def _finite(metrics: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}
