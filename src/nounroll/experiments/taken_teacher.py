"""Teacher of another run, reused unchanged (``smt.teacher``), so that many cells can learn from one teacher."""

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nounroll.cells import build_cell
from nounroll.cells.base import constrain
from nounroll.core.batch import Space
from nounroll.core.modes import drawing_from
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.run_folder import open_run, read_kept
from nounroll.models.student import Student
from nounroll.rollout.transformer import CausalTransformer
from nounroll.storage import checkpoint
from nounroll.storage.files import read_bytes
from nounroll.teacher import Teacher


def read_teacher(run: str | Path) -> tuple[Recipe, dict[str, Tensor], tuple[Space, Space]]:
    """Read a run's recipe, the weights of its teacher, and the spaces of its inputs and targets.

    Raises:
        ValueError: there is no such run or teacher, or its cell is the user's own module.
    """
    theirs, folder = open_run(run)
    found = checkpoint.read_newest(checkpoint.newest_first(folder / "checkpoints"), checkpoint.read)
    weights = found[1][0].get("teacher") if found else None
    kept = read_kept(folder)
    if weights is None or kept is None:
        raise ValueError(f"that run has no teacher: its method is {theirs.method}, or its checkpoints are gone")
    if _is_custom(folder):
        raise ValueError(f"{folder} is of a cell of your own; give the teacher itself: teacher=run.teacher")
    return theirs, weights, kept[1:]


def same_range(cell: Any, other: Any, shape: tuple[int, int]) -> bool:
    """Return whether two cells have the same range of memories, for memories of this shape."""
    if tuple(cell.memory_shape) != tuple(other.memory_shape):
        return False
    raw = torch.linspace(-3, 3, math.prod(shape)).view(1, *shape)
    return torch.equal(constrain(cell, raw), constrain(other, raw))


def _is_custom(folder: Path) -> bool:
    config = folder / "student" / "config.json"
    return config.is_file() and json.loads(read_bytes(config))["cell"]["kind"] == "custom"


def take_teacher(recipe: Recipe, model: Student | CausalTransformer, teacher: Teacher) -> None:
    """Copy the weights of the teacher of the run ``smt.teacher`` into a teacher.

    Raises:
        ValueError: there is no such run or teacher, or it does not fit.
    """
    asked = f"smt.teacher is {recipe.smt.teacher}"
    try:
        theirs, folder = open_run(recipe.smt.teacher)
        found = checkpoint.read_newest(checkpoint.newest_first(folder / "checkpoints"), checkpoint.read)
        weights = found[1][0].get("teacher") if found else None
    except ValueError as error:
        raise ValueError(f"{asked}; {error}") from error
    if weights is None:
        raise ValueError(
            f"{asked}; that run has no teacher: its method is {theirs.method}, or its checkpoints are gone"
        )
    for one in fields(theirs.teacher):
        mine, its = getattr(recipe.teacher, one.name), getattr(theirs.teacher, one.name)
        if mine != its:
            raise ValueError(f"{asked}; there teacher.{one.name} is {its!r}, here {mine!r}: set it to {its!r}")
    try:
        teacher.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split("\n")[1:2]).strip()
        raise ValueError(f"{asked}; its teacher is of another task or memory: {reason}") from error
    if _is_custom(folder):
        raise ValueError(f"{asked}, of a cell of your own: the range of its memories is not known")
    with drawing_from(torch.Generator()):
        cell = build_cell(theirs.cell, model.inputs)
    if not same_range(cell, model.cell, teacher.memory_shape):  # type: ignore[union-attr]
        raise ValueError(f"{asked}, of a {theirs.cell.kind} cell: its memories have another range than this cell's")
