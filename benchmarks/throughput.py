"""Training throughput of the methods at the paper's reference sizes, on one thread; prints one JSON object.

    python benchmarks/throughput.py

SMT counts transition labels per second (one label is a memory, its step and its losses), DMT and BPTT transitions per
second. The two encoders take turns in one process, so that a drift of the machine meets both.
"""

import json
import statistics
import time
from collections.abc import Callable

import torch

from nounroll.cells.base import CellSettings
from nounroll.data.task import draw
from nounroll.data.text import Text
from nounroll.methods import BPTT, DMT, SMT, BPTTSettings, DMTSettings, SMTSettings
from nounroll.methods.base import Method
from nounroll.seeding import generator
from nounroll.student import Student
from nounroll.teacher import Teacher, TeacherSettings, build_teacher

LENGTH, BATCH = 128, 32  # T in steps; sequences
WINDOWED_LABELS = 1  # labels per sequence and step in the paper's scheme
ROUNDS = 5


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    task = Text()
    contenders: dict[str, tuple[Callable[[int], None], int]] = {}
    for cell in ("mlp", "transformer", "gru"):
        student = Student(task.inputs, task.targets, CellSettings(kind=cell, tokens=4, memory_width=64))
        teacher = _teacher("causal", task, student)
        dense = BATCH * LENGTH
        contenders[f"smt, {cell}"] = _stepper(SMT(student, teacher, SMTSettings()), task), dense
        contenders[f"dmt, {cell}"] = _stepper(DMT(student, teacher, DMTSettings()), task), dense
        contenders[f"bptt, {cell}"] = _stepper(BPTT(student, BPTTSettings()), task), dense
        if cell == "mlp":
            few = SMTSettings(transitions=WINDOWED_LABELS)
            windowed = SMT(student, _teacher("window", task, student), few)
            contenders["smt with the paper's window encoder, mlp"] = _stepper(windowed, task), BATCH * WINDOWED_LABELS
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(ROUNDS + 1):
        for name, (step, rows) in contenders.items():
            start = time.perf_counter()
            step(round_)
            if round_:  # the first warms up
                rates[name].append(rows / (time.perf_counter() - start))
    result = {
        name: {"per second": round(statistics.median(values)), "of": rows_of(name)} for name, values in rates.items()
    }
    print(
        json.dumps(
            {"length": LENGTH, "batch": BATCH, "threads": 1, "torch": torch.__version__, "median": result}, indent=1
        )
    )


def rows_of(name: str) -> str:
    """What the figure counts."""
    return "labels" if name.startswith("smt") else "transitions"


def _teacher(kind: str, task: Text, student: Student) -> Teacher:
    settings = TeacherSettings(kind=kind, context=LENGTH)  # type: ignore[arg-type]
    return build_teacher(settings, task.inputs, task.targets, student.cell)


def _stepper(method: Method, task: Text) -> Callable[[int], None]:
    """One whole training step: draw, loss, gradients, clipping, AdamW."""
    parameters = list(method.parameters())
    optimizer = torch.optim.AdamW(parameters, fused=True)

    def step(index: int) -> None:
        batch = draw(task, BATCH, LENGTH, 0, "throughput", index)
        optimizer.zero_grad(set_to_none=True)
        method(batch, generator(0, "throughput", index), 0.5)["loss"].backward()
        torch.nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], 1.0)
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
