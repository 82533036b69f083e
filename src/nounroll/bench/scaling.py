"""Growth of a training step's cost with T, the memory's width, the teacher's width and the batch size."""

import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np

from nounroll.bench.memory import peak_memory
from nounroll.bench.training import CHUNK, stepper
from nounroll.cells.base import CellSettings
from nounroll.data.task import SequenceTask
from nounroll.methods import BPTT, DMT, SMT, DMTSettings, SMTSettings
from nounroll.methods.base import Method
from nounroll.models.student import Student
from nounroll.teacher import Teacher, TeacherSettings, build_teacher

AXES = {"length": "T", "memory_width": "memory width d", "width": "teacher width", "batch": "batch B"}
_VALUES = {"memory_width": [32, 64, 128, 256], "width": [64, 128, 256], "batch": [1, 4, 16]}
_FIXED = {"length": 128, "memory_width": 64, "width": 128, "batch": 4}
_ONE_SEQUENCE = {"length": {"batch": 1}}  # by axis: other fixed sizes
_MEMORY = ("smt by chunks", "smt", "dmt", "bptt stepped")


def scaling(task: SequenceTask, cell: str, lengths: list[int], rounds: int) -> list[dict[str, Any]]:
    """Measure the seconds of a training step along each axis, with the others fixed; along T also peak memory.

    Returns:
        Rows of measure (seconds or bytes), method, axis, values, found (one for each value) and exponent. Along T the
        batch is one sequence.
    """
    rows = []
    for axis, values in {"length": lengths, **_VALUES}.items():
        found: dict[str, list[float]] = {}
        for value in values:
            sizes = {**_FIXED, **_ONE_SEQUENCE.get(axis, {}), axis: value}
            for name, method in _methods(task, cell, sizes):
                step = stepper(method, task, sizes["length"], sizes["batch"])
                times = [step(index)[0] for index in range(rounds + 1)]
                found.setdefault(name, []).append(statistics.median(times[1:]))
        rows += [_row("seconds", name, axis, values, numbers) for name, numbers in found.items()]
    for name in _MEMORY:
        numbers = [float(peak_memory(name, cell, length, 1)) for length in lengths]
        rows.append(_row("bytes", name, "length", lengths, numbers))
    return rows


def exponent(x: list[int], y: list[float]) -> float | None:
    """Fit b of y = a x^b by least squares in logarithms; None if a figure is not positive."""
    if len(x) < 2 or min(y) <= 0:
        return None
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _row(measure: str, method: str, axis: str, values: list[int], found: list[float]) -> dict[str, Any]:
    return {
        "measure": measure,
        "method": method,
        "axis": axis,
        "values": values,
        "found": found,
        "exponent": exponent(values, found),
    }


def _methods(task: SequenceTask, cell: str, sizes: dict[str, int]) -> Iterator[tuple[str, Method]]:
    """Yield SMT (whole and in chunks), DMT and stepped BPTT at these sizes."""

    def student() -> Student:
        settings = CellSettings(kind=cell, memory_width=sizes["memory_width"])  # type: ignore[arg-type]
        return Student(task.inputs, task.targets, settings)

    def taught(recompute: bool = False) -> tuple[Student, Teacher]:
        settings, one = TeacherSettings(width=sizes["width"]), student()
        return one, build_teacher(settings, task.inputs, task.targets, one.cell, recompute=recompute)

    yield "smt", SMT(*taught(), SMTSettings(transitions=0))
    yield "smt by chunks", SMT(*taught(recompute=True), SMTSettings(transitions=0, chunk=CHUNK))
    yield "dmt", DMT(*taught(), DMTSettings(), 1.0)
    alone = student()
    alone.cell.unroll = None
    yield "bptt stepped", BPTT(alone)
