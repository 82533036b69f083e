"""Export of a student to other programs, and a check of the result against the student."""

import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import torch

from nounroll.core.spaces import space_to_json
from nounroll.export.step import Step, StepFunction, example_inputs, largest_difference
from nounroll.models.student import Student

Writer: TypeAlias = Callable[[Student, Path], tuple[list[Path], StepFunction]]
TOLERANCE = 1e-3  # largest allowed difference in a memory or a logit


class ExportError(Exception):
    """Error: the exported file and the student compute different results."""


def export(student: Student, to: str, folder: str | Path) -> dict[str, Any]:
    """Write one step of a student, and check it against the student over 500 steps.

    ``step.json`` has the spaces, the memory's shape and the initial memory, (K, d). ``inputs``, (B,) int64 or (B, d_x)
    float32, and ``memory``, (B, K, d) float32, may have any number of rows.

    Args:
        student: a trained student.
        to: onnx (``step.onnx``: inputs, memory -> next_memory, logits), torch (``step.pt2``, a torch.export program) or
            safetensors (``student/``, for ``Student.from_pretrained``).
        folder: the destination.

    Returns:
        A dictionary with ``to``, ``files`` (paths) and ``difference`` (the largest in memories and logits).

    Raises:
        ValueError: there is no such format, or a package that it needs is not installed.
        ExportError: the step differs from the student by more than 1e-3. The files are removed.
    """
    if to not in FORMATS:
        raise ValueError(f"to is {to!r}; it must be one of {', '.join(FORMATS)}")
    folder = Path(folder)
    files, difference = export_checked(student, FORMATS[to], folder)
    files.append(_describe(student, folder / "step.json"))
    return {"to": to, "files": [str(path) for path in files], "difference": difference}


def export_checked(student: Student, write: Writer, folder: Path) -> tuple[list[Path], float]:
    """Write files of a copy of the student into a folder, and check the step that ``write`` returns against it.

    Returns:
        The files and the largest difference.

    Raises:
        ExportError: the step differs by more than 1e-3. The files are removed.
    """
    student = copy.deepcopy(student).cpu().float().eval()  # the caller's stays as it is
    folder.mkdir(parents=True, exist_ok=True)
    files, step = write(student, folder)
    difference = largest_difference(student, step)
    if not difference <= TOLERANCE:
        for path in files:
            path.unlink(missing_ok=True)
        raise ExportError(
            f"the exported step differs from the student by {difference:.3g} within 500 steps;"
            f" at most {TOLERANCE} is allowed, so nothing was kept"
        )
    return files, difference


def _onnx(student: Student, folder: Path) -> tuple[list[Path], StepFunction]:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise ValueError(f"to is 'onnx', which needs the package {package}; pip install 'nounroll[export]'")
    import onnxruntime

    path = folder / "step.onnx"
    with _quiet():
        program = torch.onnx.export(
            _traced(student),
            input_names=["inputs", "memory"],
            output_names=["next_memory", "logits"],
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def step(inputs: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        after, logits = session.run(None, {"inputs": inputs.numpy(), "memory": memory.numpy()})
        return torch.from_numpy(after), torch.from_numpy(logits)

    return [path], step


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings of the ONNX exporter about packages for operators that no cell uses."""
    logger = logging.getLogger("torch.onnx")
    former = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(former)


def _torch(student: Student, folder: Path) -> tuple[list[Path], StepFunction]:
    path = folder / "step.pt2"
    torch.export.save(_traced(student), path)
    return [path], torch.export.load(path).module()


def _safetensors(student: Student, folder: Path) -> tuple[list[Path], StepFunction]:
    target = folder / "student"  # separate, because save_pretrained replaces it whole and refuses foreign files
    student.save_pretrained(target)
    cell = None if student.settings else student.cell  # a user's cell is code, and files hold no code
    return sorted(target.iterdir()), Step(Student.from_pretrained(target, cell))


FORMATS: dict[str, Writer] = {
    "onnx": _onnx,
    "torch": _torch,
    "safetensors": _safetensors,
}


def _traced(student: Student) -> torch.export.ExportedProgram:
    """Trace the step as a graph for any number of rows."""
    rows = 2  # tracing with a single row would fix it at one
    arguments = (example_inputs(student, 1, rows)[0], student.initial_memory(rows).detach().clone())
    batch = torch.export.Dim("batch")
    return torch.export.export(Step(student), arguments, dynamic_shapes={"inputs": {0: batch}, "memory": {0: batch}})


def _describe(student: Student, path: Path) -> Path:
    document = {
        "inputs": space_to_json(student.inputs),
        "targets": space_to_json(student.targets),
        "memory_shape": student.memory_shape,
        "initial_memory": student.empty_memory.tolist(),
    }
    path.write_text(json.dumps(document) + "\n")
    return path
