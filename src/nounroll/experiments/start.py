"""Start of a run: the weights of an existing student or teacher, in place of new ones.

The run keeps a copy of these weights in its folder, so that it can be resumed and compared without the original::

    start/student.safetensors, start/teacher.safetensors   weights of the given student and teacher
    start/origin.json                                      their origin, their fingerprints, and the spaces
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nounroll.core.batch import Space
from nounroll.core.notices import notice
from nounroll.core.spaces import space_from_json
from nounroll.core.spaces.units import other_unit
from nounroll.data.task import SequenceTask
from nounroll.experiments.facts import Facts
from nounroll.experiments.recipe import Recipe
from nounroll.methods import TRANSFORMER
from nounroll.models.student import Student
from nounroll.nn.embedding import InputEmbedding
from nounroll.rollout.transformer import CausalTransformer
from nounroll.storage import checkpoint
from nounroll.teacher import Teacher

START = "start"  # name of its folder in a run's folder


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
        now = tokenizer_of(kept)
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


def _scaled_as(name: str, space: Space, other: Space | None) -> Space:
    """Copy the units of an equal space; return the space unchanged if the other is of another kind or None."""
    if other is None or space != other:
        return space
    if said := other_unit(space, other):
        notice(f"{name}: {said} in the data of the student that is given, whose unit is kept; give the new data in it")
    return space.scaled_as(other)


def tokenizer_of(kept: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 of a text task's tokenizer, or of its absence; None for other tasks."""
    speech = kept.get("speech")
    if not isinstance(speech, Mapping) or "tokenizer" not in speech:
        return None
    return hashlib.sha256(json.dumps(speech["tokenizer"], sort_keys=True).encode()).hexdigest()


def _load(module: nn.Module, weights: Mapping[str, Tensor], what: str, way: str = "") -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split("\n")[1:2]).strip()
        raise ValueError(f"{what} does not fit this task and network: {reason}{way}") from error
