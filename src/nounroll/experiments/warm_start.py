"""Warm start: the student and the teacher that a run starts from, opened from objects or folders.

The student's cell, spaces and scale of real data are kept; so is its readout, unless the targets are of another space.
"""

import copy
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nounroll.cells import build_cell, complete
from nounroll.core.batch import Space
from nounroll.core.modes import drawing_from
from nounroll.core.spaces import space_to_json
from nounroll.experiments.run_folder import open_run
from nounroll.experiments.start import Start, tokenizer_of
from nounroll.experiments.taken_teacher import read_teacher, same_range
from nounroll.methods import AUTO, TRANSFORMER, is_taught
from nounroll.models.student import Student
from nounroll.nn.embedding import InputEmbedding
from nounroll.nn.outputs import Outputs
from nounroll.teacher import Teacher

Spaces = tuple[Space | None, Space | None]
RENEWABLE = ("inputs", "head")  # parts of a student that may start with new weights


def open_start(
    student: Student | str | Path | None, teacher: Teacher | str | Path | None, new: str | Sequence[str] = ()
) -> Start:
    """Open the student and the teacher of a warm start.

    Args:
        student: a student, which is not changed; or the folder of a student or of a run.
        teacher: a teacher, which is not changed; or the folder of a run that has one.
        new: "inputs", "head" or both: parts of the student that get new weights.

    Raises:
        ValueError: there is none, or the teacher's memories have another form than the student's.
    """
    words = (new,) if isinstance(new, str) else tuple(new)
    if wrong := [word for word in words if word not in RENEWABLE]:
        raise ValueError(f"new is {wrong[0]!r}; it must be {' or '.join(RENEWABLE)}, or both")
    if words and student is None:
        raise ValueError(
            f"new is {words[0]!r} but student is not given; give a student to start from, or leave out new"
        )
    origin: dict[str, Any] = {"student": None, "teacher": None, "new": list(words), "tokenizer": None}
    weights: dict[str, dict[str, Tensor]] = {"student": {}, "teacher": {}}
    settings: dict[str, Any] = {}
    model = None if student is None else opened_student(student)
    if model is not None:
        weights["student"] = _copied(model)
        origin["student"] = _whence(student, weights["student"], model.inputs, model.targets)
        origin["tokenizer"] = tokenizer_of(model.trained_on)
        settings["readout_width"] = model.readout_width
        if model.settings is not None:
            settings |= {f"cell.{name}": value for name, value in vars(complete(model.settings)).items()}
    if teacher is not None:
        found, weights["teacher"], cell, spaces = _opened_teacher(teacher)
        origin["teacher"] = _whence(teacher, weights["teacher"], *spaces)
        settings |= found
        if model is not None and not same_range(cell, model.cell, model.memory_shape):
            shapes = tuple(cell.memory_shape), model.memory_shape
            what = f"has memories of shape {shapes[0]}, the student {shapes[1]}"
            raise ValueError(f"teacher {what if shapes[0] != shapes[1] else 'has memories of another range'}; {_FIT}")
        if model is not None and spaces[0] == model.inputs and _json(spaces[0]) != _json(model.inputs):
            raise ValueError(f"teacher was trained with inputs of another shift and scale than the student; {_FIT}")
    own = None if model is None or model.settings is not None else model.cell
    return Start(weights["student"], weights["teacher"], origin, settings, own)


_FIT = "give the teacher that this student was trained by, or leave it out"


def start_from(folder: str | Path, method: str, new: Sequence[str] = ()) -> Start:
    """Open the student of a run and, if the method needs one and the run has one, its teacher.

    Args:
        folder: folder of the run.
        method: the method that trains the student next.
        new: see ``open_start``; also "teacher", for a new teacher.

    Raises:
        ValueError: the folder holds no run, or no trained student.
    """
    recipe, folder = open_run(folder)
    if not (folder / "student" / "config.json").is_file():
        what = "a Transformer and no student" if recipe.method == TRANSFORMER else "no trained student yet"
        raise ValueError(f"{folder} holds {what}; begin with the run of another method, or train it first")
    wanted = (method == AUTO or is_taught(method)) and "teacher" not in new
    takes = wanted and recipe.method != AUTO and is_taught(recipe.method)
    return open_start(folder, folder if takes else None, [word for word in new if word != "teacher"])


def opened_student(student: Student | str | Path) -> Student:
    """Copy a student, or open the student of a folder."""
    if isinstance(student, Student):
        return copy.deepcopy(student).cpu()
    if not isinstance(student, str | Path):
        raise ValueError(f"student is a {type(student).__name__}; it must be a nounroll.Student, or a folder")
    folder = Path(student)
    if (folder / "recipe.yaml").is_file():
        open_run(folder)
        folder = folder / "student"
    return Student.from_pretrained(folder)


def _opened_teacher(teacher: Teacher | str | Path) -> tuple[dict[str, Any], dict[str, Tensor], Any, Spaces]:
    """Return a teacher's settings by dotted names, its weights, a cell with the same memories, and its spaces."""
    spaces: Spaces
    if isinstance(teacher, Teacher):
        form, weights, cell = teacher.settings, _copied(teacher), teacher.cell
        parts = list(teacher.modules())
        inputs = next((part.space for part in parts if isinstance(part, InputEmbedding)), None)
        spaces = inputs, next((part.targets for part in parts if isinstance(part, Outputs)), None)
    elif isinstance(teacher, str | Path):
        try:
            recipe, weights, spaces = read_teacher(teacher)
        except ValueError as error:
            raise ValueError(f"teacher is {teacher}; {error}") from error
        form = recipe.teacher
        with drawing_from(torch.Generator()):
            cell = build_cell(recipe.cell, spaces[0])
    else:
        raise ValueError(f"teacher is a {type(teacher).__name__}; it must be a run's teacher, or the folder of a run")
    return {f"teacher.{name}": value for name, value in vars(form).items()}, weights, cell, spaces


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: t.detach().cpu().clone() for name, t in module.state_dict().items()}


def _whence(
    given: object, weights: Mapping[str, Tensor], inputs: Space | None, targets: Space | None
) -> dict[str, Any]:
    path = os.path.abspath(given) if isinstance(given, str | Path) else None
    return {"path": path, "sha256": fingerprint(weights), "inputs": _json(inputs), "targets": _json(targets)}


def _json(space: Space | None) -> dict[str, Any] | None:
    return None if space is None else space_to_json(space)


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Compute the SHA-256 of named tensors, in hexadecimal."""
    found = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
