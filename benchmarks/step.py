"""How long one step takes: eager, compiled and by onnxruntime, beside one another on one thread; prints a table.

    python benchmarks/step.py --cells mlp gru --rows 1

Each round steps every contender in turn, so that a drift of the machine meets all of them. Shown are medians over
all steps.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from nounroll.cells.base import CELLS, CellSettings
from nounroll.core.batch import Categorical
from nounroll.export import export
from nounroll.export.step import Step, StepFunction
from nounroll.models.student import Student

BYTES = Categorical(256)
STEPS = 50  # of one contender in a round


def main(cells: list[str], rows: int, rounds: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    table = Table("cell", "eager, us", "compiled, us", "onnxruntime, us", "off by at most")
    for cell in cells:
        student = Student(BYTES, BYTES, CellSettings(kind=cell)).eval()  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as folder:
            difference = export(student, "onnx", folder)["difference"]
            step = Step(student)
            contenders = {"eager": step, "compiled": torch.compile(step), "onnxruntime": _session(Path(folder))}
        times = _in_turn({name: _stepper(one, student, rows) for name, one in contenders.items()}, rounds)
        table.add_row(cell, *(f"{1e6 * statistics.median(one):,.0f}" for one in times.values()), f"{difference:.2g}")
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    Console().print(f"medians of {STEPS * rounds:,} steps of {rows} row(s) on one thread, {versions}", table)
    Console().print("off by at most: onnxruntime's largest difference from eager in 500 steps, in any memory or logit")


def _session(folder: Path) -> StepFunction:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "step.onnx", options, providers=["CPUExecutionProvider"])

    def step(inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        after, logits = session.run(None, {"inputs": inputs.numpy(), "memory": memory.numpy()})
        return torch.from_numpy(after), torch.from_numpy(logits)

    return step


def _stepper(step: StepFunction, student: Student, rows: int) -> Callable[[], float]:
    """One step from the memory that the step before it left; the seconds that it took."""
    state = {"memory": student.initial_memory(rows).detach()}
    inputs = torch.arange(rows)

    def run() -> float:
        start = time.perf_counter()
        state["memory"], _ = step(inputs, state["memory"])
        return time.perf_counter() - start

    return run


def _in_turn(contenders: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every step of every round but the first, which warms up and compiles."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(rounds + 1):
        for name, run in contenders.items():
            taken = [run() for _ in range(STEPS)]
            times[name] += taken if index else []
    return times


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=list(CELLS), default=["mlp", "gru", "transformer"])
    parser.add_argument("--rows", type=int, default=1, help="memories that step side by side")
    parser.add_argument("--rounds", type=int, default=20, help=f"of {STEPS} steps each")
    main(**vars(parser.parse_args()))
