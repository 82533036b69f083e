"""Warm start: a run that starts from an existing student or teacher.

The student's cell, spaces and scale of real data are kept; so is its readout, unless the targets are of another space.
The run keeps a copy of these weights in its folder, so that it can be resumed and compared without the original::

    start/student.safetensors, start/teacher.safetensors   weights of the given student and teacher
    start/origin.json                                      their origin, their fingerprints, and the spaces
"""

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nounroll.cells import build_cell, complete
from nounroll.core.batch import Space
from nounroll.core.modes import drawing_from
from nounroll.core.notices import notice
from nounroll.core.spaces import space_from_json, space_to_json
from nounroll.core.spaces.units import other_unit
from nounroll.data.task import SequenceTask
from nounroll.experiments.facts import Facts
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.run_folder import open_run
from nounroll.experiments.taken_teacher import read_teacher, same_range
from nounroll.methods import AUTO, TRANSFORMER, is_taught
from nounroll.models.student import Student
from nounroll.nn.embedding import InputEmbedding
from nounroll.nn.outputs import Outputs
from nounroll.rollout.transformer import CausalTransformer
from nounroll.storage import checkpoint
from nounroll.teacher import Teacher

Spaces = tuple[Space | None, Space | None]
START = "start"  # name of its folder in a run's folder
RENEWABLE = ("inputs", "head")  # parts of a student that may start with new weights


@dataclass(frozen=True)
class Start:
    """Weights that a run starts from.

    Attributes:
        student, teacher: weights; empty if the run makes a new one.
        origin: source of the weights, as plain values: "student" and "teacher", each with the "path" (None for the
            caller's object), the "sha256" of the weights, and the spaces of "inputs" and "targets"; "new", the parts of
            the student that get new weights; "tokenizer", the SHA-256 of the student's tokenizer, if it reads text.
        settings: settings of a recipe that belong to these weights, by their dotted names.
        cell: the student's own cell module, to be trained; None if ``settings`` build the cell.
        rehearse: the old task, from which the method adapt draws sequences; "rehearse" in ``origin`` says where it came
            from.
    """

    student: Mapping[str, Tensor]
    teacher: Mapping[str, Tensor]
    origin: dict[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    cell: nn.Module | None = None
    rehearse: SequenceTask | None = None

    # -- the recipe and the data ------------------------------------------------------------------

    def applied(self, recipe: Recipe) -> Recipe:
        """Return a recipe with the sizes of the given student and teacher.

        Raises:
            ValueError: the recipe gives other sizes, or its method cannot use them.
        """
        if recipe.method == TRANSFORMER:
            raise ValueError(f"method is {TRANSFORMER!r}, which trains no student; leave student and teacher out")
        if self.teacher and recipe.smt.teacher:
            raise ValueError(f"smt.teacher is {recipe.smt.teacher}, and a teacher is given too; leave one of them out")
        for name, value in self.settings.items():
            now = recipe.get(name)
            chosen_by_itself = now == 0 and name in ("cell.width", "cell.layers")
            if name in (recipe.given or ()) and now not in (value, "auto") and not chosen_by_itself:
                owner = "teacher" if name.startswith("teacher.") else "student"
                raise ValueError(f"{name} is {now!r}, and the {owner} that is given has {value!r}; leave it out")
        return recipe.with_given(self.settings)

    def in_its_scale(self, facts: Facts, kept: Mapping[str, Any]) -> Facts:
        """Give facts the scale that the weights were trained in.

        Args:
            facts: facts about the task.
            kept: what the run keeps of the task (``nounroll.data.kept``).

        Raises:
            ValueError: the inputs are of another space than the student's, or another tokenizer splits the text, and
                the inputs may not get new weights.
        """
        inputs, targets = self._spaces("student" if self.student else "teacher")
        now = _tokenizer(kept)
        if self.student and now and self.origin["tokenizer"] not in (None, now) and "inputs" not in self.origin["new"]:
            raise ValueError(
                "student reads text by another tokenizer than the task's; give the task the student's, or begin with"
                " a new input table and readout: new=('inputs', 'head') (--new inputs,head)"
            )
        if self.student and facts.inputs != inputs and "inputs" not in self.origin["new"]:
            raise ValueError(
                f"student has inputs {inputs}, and the task's are {facts.inputs}; take a student of these, or begin"
                " with a new input table: new='inputs' (--new inputs)"
            )
        if self.student and facts.inputs != inputs and self.cell is not None:
            raise ValueError(
                f"student has inputs {inputs} and a cell of your own, and the task's are {facts.inputs}; what of the"
                " cell is its input table is not known"
            )
        return replace(
            facts,
            inputs=_scaled_as("inputs", facts.inputs, inputs),
            targets=facts.targets if "head" in self.origin["new"] else _scaled_as("targets", facts.targets, targets),
        )

    # -- the weights ------------------------------------------------------------------------------

    def put(self, model: Student | CausalTransformer, teacher: Teacher | None) -> None:
        """Copy these weights into a run's new student and teacher, except the parts that get new weights.

        Raises:
            ValueError: the weights do not fit.
        """
        if self.student and isinstance(model, Student):
            anew = self._anew(model)
            kept = {name: t for name, t in self.student.items() if not name.startswith(anew)}
            _load(model, {**{n: t for n, t in model.state_dict().items() if n.startswith(anew)}, **kept}, "student")
        if self.teacher and teacher is not None:
            _load(teacher, self.teacher, "teacher", "; begin with a new one: teacher=None (--new teacher)")

    def keeps_readout(self, model: Student) -> bool:
        """Return whether a run's student has the given readout."""
        return "head." not in self._anew(model)

    def _anew(self, model: Student) -> tuple[str, ...]:
        """Return the prefixes of the names of weights that are not copied."""
        inputs, targets = self._spaces("student")
        head = ("head.",) if "head" in self.origin["new"] or model.targets != targets else ()
        if model.inputs == inputs and "inputs" not in self.origin["new"]:
            return head
        tables = (name for name, part in model.named_modules() if isinstance(part, InputEmbedding))
        return (*head, *(f"{name}." for name in tables))

    def _spaces(self, name: str) -> tuple[Space | None, Space | None]:
        """Return inputs and targets of the given student or teacher; None if a teacher does not declare them."""
        found = [self.origin[name][which] for which in ("inputs", "targets")]
        return tuple(None if one is None else space_from_json(one) for one in found)  # type: ignore[return-value]

    # -- the run's folder -------------------------------------------------------------------------

    def write(self, folder: Path) -> None:
        """Write the start into the folder of a new run."""
        groups = {"student": self.student, "teacher": self.teacher}
        kept = {name: dict(weights) for name, weights in groups.items() if weights}
        checkpoint.write(folder / START, kept, {"origin": self.origin})

    @classmethod
    def read(cls, folder: Path, cell: nn.Module | None = None) -> "Start | None":
        """Read the start of the run in a folder; None if the run had no warm start.

        Raises:
            ValueError: the start cannot be read.
        """
        if not (folder / START).is_dir():
            return None
        tensors, documents = checkpoint.read(folder / START)
        try:
            origin = _checked(documents["origin"])
            start = cls(tensors.get("student", {}), tensors.get("teacher", {}), origin, cell=cell)
            start._spaces("student" if start.student else "teacher")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder / START}/origin.json cannot be read: {checkpoint.one_line(error)}") from error
        return start

    def check_same(self, kept: "Start | None", folder: Path) -> None:
        """Refuse to resume a run from another student or teacher, with other new parts, or with an old task it lacks.

        Raises:
            ValueError: one of them differs.
        """
        begun = kept.origin if kept else {}
        for name in ("student", "teacher"):
            mine, its = self.origin.get(name), begun.get(name)
            if mine and mine["sha256"] != (its or {}).get("sha256"):
                raise ValueError(f"{name} differs from the one that the run in {folder} began with; leave it out")
        if (new := self.origin["new"]) and sorted(new) != sorted(begun.get("new", [])):
            raise ValueError(f"new is {new}, and the run in {folder} began with {begun.get('new', [])}; leave it out")
        if self.rehearse is not None and not begun.get("rehearse"):
            raise ValueError(f"rehearse is given, and the run in {folder} began without an old task; leave it out")


def _checked(document: Any) -> dict[str, Any]:
    """Validate ``origin`` from a file, which may hold anything.

    Raises:
        KeyError, TypeError, ValueError: it has another form.
    """
    whence = {name: document[name] and dict(document[name]) for name in ("student", "teacher")}
    if missing := [name for name, one in whence.items() if one and "sha256" not in one]:
        raise ValueError(f"{missing[0]} has no sha256")
    old = document.get("rehearse")
    rehearsed = {} if old is None else {"rehearse": {"path": old["path"], "task": str(old["task"])}}
    return {**whence, "new": list(document["new"]), "tokenizer": document["tokenizer"], **rehearsed}


def drop_start(folder: Path) -> None:
    """Remove the start that a run left in a folder when it died before its first step."""
    shutil.rmtree(folder / START, ignore_errors=True)


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
        origin["tokenizer"] = _tokenizer(model.trained_on)
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


def _scaled_as(name: str, space: Space, other: Space | None) -> Space:
    """Copy the units of an equal space; return the space unchanged if the other is of another kind or None."""
    if other is None or space != other:
        return space
    if said := other_unit(space, other):
        notice(f"{name}: {said} in the data of the student that is given, whose unit is kept; give the new data in it")
    return space.scaled_as(other)


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: t.detach().cpu().clone() for name, t in module.state_dict().items()}


def _whence(
    given: object, weights: Mapping[str, Tensor], inputs: Space | None, targets: Space | None
) -> dict[str, Any]:
    path = os.path.abspath(given) if isinstance(given, str | Path) else None
    return {"path": path, "sha256": fingerprint(weights), "inputs": _json(inputs), "targets": _json(targets)}


def _json(space: Space | None) -> dict[str, Any] | None:
    return None if space is None else space_to_json(space)


def _tokenizer(kept: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 of a text task's tokenizer, or of its absence; None for other tasks."""
    speech = kept.get("speech")
    if not isinstance(speech, Mapping) or "tokenizer" not in speech:
        return None
    return hashlib.sha256(json.dumps(speech["tokenizer"], sort_keys=True).encode()).hexdigest()


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Compute the SHA-256 of named tensors, in hexadecimal."""
    found = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _load(module: nn.Module, weights: Mapping[str, Tensor], what: str, way: str = "") -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split("\n")[1:2]).strip()
        raise ValueError(f"{what} does not fit this task and network: {reason}{way}") from error
