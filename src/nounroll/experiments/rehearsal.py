"""Source of the old sequences that a network rehearses during adaptation."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from nounroll.core.batch import Batch
from nounroll.core.modes import drawing_from
from nounroll.data.task import SequenceTask
from nounroll.experiments.consent import build_task, check_path
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.run_folder import CUSTOM, open_run
from nounroll.experiments.start import Start
from nounroll.methods import ADAPT, Adapt
from nounroll.models.student import Student
from nounroll.nn.low_rank import add_low_rank

REHEARSED = "rehearse"  # name of the old task's folder among the paths that the user consents to


class OwnWriting(SequenceTask):
    """Sequences that a network draws from its own predictions; every target after the prompt is scored.

    Args:
        writer: the network, which is only read.
        task: whose spaces and prompt the sequences have.
    """

    autoregressive = True

    def __init__(self, writer: Student, task: SequenceTask) -> None:
        self.writer, self.inputs, self.targets = writer, task.inputs, task.targets
        self._prompt = task.prompt()

    @torch.no_grad()
    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        prompt = self._prompt[:length].to(self.writer.empty_memory.device)
        start: Shaped[Tensor, "B P *x"] = prompt.expand(batch_size, *prompt.shape)
        drawn = self.writer.generate(start, length + 1 - len(prompt), generator=generator)
        written = torch.cat([start, drawn], dim=1)
        mask = torch.arange(length, device=prompt.device) >= len(prompt) - 1
        return Batch(inputs=written[:, :-1], targets=written[:, 1:], mask=mask.expand(batch_size, -1))


def with_rehearsal(start: Start | None, rehearse: SequenceTask | str | Path | None) -> Start | None:
    """Add the old task to a start.

    Args:
        start: the weights that the run starts from.
        rehearse: the old task, or the folder of the run that learnt it.

    Raises:
        ValueError: ``rehearse`` is neither, or there is no student.
    """
    if rehearse is None:
        return start
    if start is None or not start.student:
        raise ValueError("rehearse is given, but student is not; give the student that learnt the rehearsed task")
    if isinstance(rehearse, SequenceTask):
        origin = {"path": None, "task": type(rehearse).__name__}
        return replace(start, rehearse=rehearse, origin={**start.origin, "rehearse": origin})
    if not isinstance(rehearse, str | Path):
        raise ValueError(
            f"rehearse is a {type(rehearse).__name__}; it must be a nounroll.SequenceTask, or a run's folder"
        )
    recipe, folder = open_run(rehearse)
    if recipe.task.kind == CUSTOM:
        raise ValueError(
            f"{folder} was trained on a task of your own, which is not in its recipe; give the task itself"
        )
    origin = {"path": str(folder.absolute()), "task": recipe.task.kind}
    return replace(start, rehearse=build_task(recipe), origin={**start.origin, "rehearse": origin})


def reopened(begun: Start | None, given: Start | None, folder: Path | None) -> Start | None:
    """Return the start of a resumed run with its old task: given again, or of the run that learnt it.

    Args:
        begun: the start that the run began with.
        given: the start that is given again.
        folder: folder of the run, whose files may name a run only with the user's consent; None needs none.

    Raises:
        ValueError: the old task was the user's own object, and is not given again; or its run cannot be read, or not
            without the user's consent.
    """
    kept: dict[str, Any] | None = begun.origin.get("rehearse") if begun else None
    if begun is None or not kept:
        return begun
    if given is not None and given.rehearse is not None:
        return replace(begun, rehearse=given.rehearse)
    if kept["path"] is None:
        raise ValueError(f"the run rehearses {kept['task']}, a task of your own; give it again: rehearse=task")
    try:
        if folder is not None and (path := rehearsed(begun)):
            check_path(REHEARSED, path, folder, "or give it again")
        return with_rehearsal(begun, kept["path"])
    except ValueError as error:
        raise ValueError(f"the run rehearses the task of another run: {error}") from error


def rehearsed(start: Start | None) -> Path | None:
    """Return the folder of the run that learnt the old task; None without one."""
    path = start.origin.get("rehearse", {}).get("path") if start else None
    return Path(path) if isinstance(path, str) else None


def check_adaptable(recipe: Recipe, start: Start | None) -> None:
    """Refuse adaptation without a student, and rehearsal without adaptation.

    Raises:
        ValueError: the method and the arguments contradict each other.
    """
    if recipe.method == ADAPT and (start is None or not start.student):
        raise ValueError(f"method is {ADAPT!r}; it begins with a trained student: student=..., or nounroll adapt RUN")
    if recipe.method != ADAPT and start is not None and start.rehearse is not None:
        raise ValueError(f"rehearse is given and method is {recipe.method!r}; only {ADAPT} rehearses")
    if recipe.method == ADAPT and start is not None and "inputs" in start.origin["new"]:
        for name, value in (("anchor", recipe.adapt.anchor), ("rehearse", recipe.adapt.rehearse)):
            if value:
                raise ValueError(
                    f"adapt.{name} is {value:g} and the input table begins anew, so that the student cannot read what"
                    f" it read before; set adapt.{name}=0, or keep the inputs"
                )


def adaptation(recipe: Recipe, start: Start, student: Student, task: SequenceTask) -> Adapt:
    """Build the method ``adapt`` of a run.

    Args:
        recipe: recipe of the run.
        start: the weights that the run starts from.
        student: the student, with the weights of ``start``.
        task: the new task.

    Raises:
        ValueError: there are no old sequences to rehearse, or they have other spaces.
    """
    keeps, old = start.keeps_readout(student), copy.deepcopy(student)
    rehearsal, share = start.rehearse if recipe.adapt.rehearse else None, recipe.adapt.rehearse
    if rehearsal is not None and rehearsal.inputs != student.inputs:
        raise ValueError(f"rehearse has inputs {rehearsal.inputs}, and the student {student.inputs}")
    if rehearsal is not None and keeps and rehearsal.targets != student.targets:
        raise ValueError(f"rehearse has targets {rehearsal.targets}, and the student {student.targets}")
    if rehearsal is None and share:
        if not (task.autoregressive and keeps and student.inputs.holds(student.targets)):
            raise ValueError(
                f"adapt.rehearse is {share:g}, no old task is given, and the student cannot write sequences itself;"
                " give the old task (rehearse=), or set adapt.rehearse=0"
            )
        rehearsal = OwnWriting(old, task)
    if recipe.adapt.update == "low-rank":
        with drawing_from(torch.Generator().manual_seed(recipe.training.seed)):
            add_low_rank(student.cell)
    return Adapt(student, old, recipe.adapt, rehearsal, keeps_readout=keeps)
