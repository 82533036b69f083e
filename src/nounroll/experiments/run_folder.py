"""The folder of a run, which is readable without this program::

recipe.yaml      all settings, including those chosen for the data
data.json        scale and fingerprint of the data, and what prompts and texts need of it
metrics.jsonl    one record per line
checkpoints/     see nounroll.storage.checkpoint
start/           weights that a warm start began with, and their origin (see nounroll.experiments.start)
trials/          runs compared to choose method or cell; removed after the choice
chosen.json      the choice of method and cell, and the figures that it is based on
consent.json     the user's consent to read the data's path (see nounroll.experiments.consent)
student/         model.safetensors and config.json: everything to deploy
metrics.json     the final figures
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from nounroll.core.batch import Space
from nounroll.core.modes import drawing_from
from nounroll.core.spaces import space_from_json, space_to_json
from nounroll.data.fingerprint import fingerprint
from nounroll.data.kept import CUSTOM, without_data
from nounroll.data.task import SequenceTask
from nounroll.experiments.consent import build_task
from nounroll.experiments.recipe import Recipe, load_kept
from nounroll.methods import TRANSFORMER, is_taught
from nounroll.models.heads import HEADS
from nounroll.models.student import CONFIG, Student
from nounroll.storage import checkpoint, files
from nounroll.storage.locks import Held, Lock
from nounroll.teacher import Teacher, build_teacher

DATA = "data.json"
_CONFIG_BYTES = 2**20  # of a student's config.json, in which its settings are looked for
_NAMES = {"reads": "input", "predicts": "target", "classes": "class", "names": "symbol", "columns": "column"}
_WRITTEN = ("recipe.yaml", DATA, "metrics.jsonl", "chosen.json", "consent.json", "metrics.json")


def open_run(folder: str | Path) -> tuple[Recipe, Path]:
    """Open a run's folder and return its recipe and its path.

    Raises:
        ValueError: the folder holds no run, or it holds links, pipes or devices.
    """
    folder = Path(folder)
    check_run(folder)
    files.check_plain(folder)
    return load_kept(folder / "recipe.yaml"), folder


def _holds_student(folder: Path) -> bool:
    try:
        with files.opened(folder / CONFIG) as file:
            return b'"readout_width"' in file.read(_CONFIG_BYTES)
    except OSError:
        return False


def check_run(folder: Path) -> None:
    """Raise ValueError if the folder holds no run; the message says what it holds in place of one."""
    if (folder / "recipe.yaml").is_file():
        return
    found = "there is no recipe.yaml in it"
    if (folder / HEADS).is_file():
        found = "it holds heads, which nounroll.Heads.from_pretrained opens"
    elif _holds_student(folder):
        found = "it holds a student, which nounroll.Student.from_pretrained opens"
    raise ValueError(f"{folder} holds no run; {found}")


def open_student(folder: str | Path, *, with_data: bool = True) -> tuple[Recipe, SequenceTask, Student]:
    """Open the recipe, the task and the trained student of a run's folder.

    Args:
        folder: folder of the run.
        with_data: False opens no training data: the task then encodes and decodes by what the student has kept, and
            gives no sequences. A student of an earlier version has kept nothing, so its data is opened.

    Raises:
        ValueError: the folder holds no run, its task is the user's own, its method was transformer, nothing was
            trained yet, or the data is missing or of another kind.
    """
    recipe, folder = open_run(folder)
    if recipe.task.kind == CUSTOM:
        raise ValueError(
            f"{folder} was trained on a task of your own; its network opens in Python:"
            f" nounroll.Student.from_pretrained({str(folder / 'student')!r})"
        )
    if recipe.method == TRANSFORMER:
        raise ValueError(f"{folder} holds a Transformer and no student; its figures are in {folder}/metrics.json")
    if not (folder / "student" / "config.json").is_file():
        raise ValueError(f"{folder} holds no trained student yet; continue with: {way_on(folder)}")
    student = Student.from_pretrained(folder / "student")
    if student.trained_on and not with_data:
        return recipe, without_data(student.trained_on, student.inputs, student.targets), student
    task = build_task(recipe)
    for name, now, then in (("inputs", task.inputs, student.inputs), ("targets", task.targets, student.targets)):
        if now != then:
            raise ValueError(
                f"{folder} was trained on data whose {name} are {then}, and now they are {now}: the data differs; put"
                " back what it was trained with, or train a new run"
            )
    _check_names(folder, student.trained_on.get("speech"), task.speech())
    if not student.trained_on:  # an earlier version standardised series by the file, outside the student
        student.rescale(task.inputs, task.targets)
    return recipe, task, student


def _check_names(folder: Path, then: Any, now: Mapping[str, Any]) -> None:
    """Refuse data of the same spaces whose columns, categories or classes have other names or another order.

    Raises:
        ValueError: the message has the first name that differs.
    """
    for name, shown in _NAMES.items():
        kept = then.get(name) if isinstance(then, Mapping) else None
        if name not in now or not isinstance(kept, list) or kept == now[name]:  # an earlier version kept no names
            continue
        before, after = next(pair for pair in zip_longest(kept, now[name]) if pair[0] != pair[1])
        raise ValueError(
            f"{folder} was trained on data whose {shown} {before!r} is now {after!r}: the data differs; put back what"
            " it was trained with, or train a new run"
        )


def open_alone(folder: str | Path) -> tuple[SequenceTask, Student]:
    """Open a student that was saved by itself, and its task without data.

    Raises:
        ValueError: the folder holds no student, or an untrained one.
    """
    student = Student.from_pretrained(folder)
    if not student.trained_on:
        raise ValueError(f"{folder} holds a student that was never trained; train it first")
    return without_data(student.trained_on, student.inputs, student.targets), student


def difference(folder: Path, task: SequenceTask, kept: Mapping[str, Any]) -> str:
    """Describe in one line how a task's data differs from a run's training data; empty if it is the same or unknown.

    Args:
        folder: folder of the run.
        task: task with its data.
        kept: ``Student.trained_on``, or the first result of ``read_kept``.
    """
    if kept.get("fingerprint") in (None, fingerprint(task)):
        return ""
    return f"{folder}: the data differs from what the network was trained with; figures are of the data as it is now"


def write_kept(folder: Path, kept: Mapping[str, Any], inputs: Space, targets: Space) -> None:
    """Write ``data.json``."""
    spaces = {"inputs": space_to_json(inputs), "targets": space_to_json(targets)}
    write_json(folder / DATA, {"format": 1, **spaces, "trained_on": kept})


def read_kept(folder: Path) -> tuple[dict[str, Any], Space, Space] | None:
    """Read what a run keeps of its task, and the task's spaces; None for a run of an earlier version.

    Raises:
        ValueError: ``data.json`` cannot be read.
    """
    if not (folder / DATA).is_file():
        return None
    try:
        document = checkpoint.parse_document(files.read_bytes(folder / DATA))
        spaces = [space_from_json(document[name]) for name in ("inputs", "targets")]
        return dict(document["trained_on"]), spaces[0], spaces[1]
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{folder / DATA} cannot be read: {checkpoint.one_line(error)}") from error


def open_teacher(folder: str | Path, student: Student) -> Teacher | None:
    """Open the teacher of the student in a run's folder, in evaluation mode; None if there is none.

    A run without smt and dmt has no teacher, and neither has a folder whose checkpoints were removed.

    Raises:
        ValueError: the folder holds no run, or its checkpoints are damaged or belong to another recipe.
    """
    recipe, folder = open_run(folder)
    if not is_taught(recipe.method):
        return None
    found = checkpoint.read_newest(checkpoint.newest_first(folder / "checkpoints"), checkpoint.read)
    if found is None:
        return None
    newest, (tensors, _) = found
    with drawing_from(torch.Generator()):
        teacher = build_teacher(recipe.teacher, student.inputs, student.targets, student.cell)
    try:
        teacher.load_state_dict(tensors["teacher"])
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise checkpoint.CheckpointError(f"{newest} does not fit the run's recipe: {reason}") from error
    return teacher.eval()


def way_on(folder: Path) -> str:
    """Name the call that continues the run in a folder, whose task may be the user's own object."""
    try:
        own = open_run(folder)[0].task.kind == CUSTOM
    except ValueError:
        own = False
    return f"nounroll.fit(task, out={str(folder)!r}, resume=True)" if own else f"nounroll resume {folder}"


def check_free(folder: Path) -> None:
    """Raise ValueError if the folder holds a run, before a new run changes any file of it."""
    if (folder / "recipe.yaml").exists() or (folder / "checkpoints").exists():
        raise ValueError(f"{folder} already holds a run; choose another folder, or: {way_on(folder)}")


def write_budget(folder: Path, recipe: Recipe) -> None:
    """Rewrite the recipe of a run after its budget was extended."""
    if load_kept(folder / "recipe.yaml").training.budget != recipe.training.budget:
        text = files.read_bytes(folder / "recipe.yaml").decode()
        about = [line for line in text.splitlines() if line.startswith("#")]
        write(folder / "recipe.yaml", "\n".join([*about, recipe.kept_in(folder).to_yaml()]))


def write_json(path: Path, document: Any) -> None:
    """Write a document as JSON, atomically."""
    write(path, json.dumps(document, indent=1) + "\n")


def write(path: Path, text: str) -> None:
    """Write a small file atomically, even if the process or the machine dies."""
    files.write_bytes(path, text.encode())


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock a run's folder against a second process, and remove incomplete files of a process that died.

    Raises:
        ValueError: another process holds the lock, or the folder cannot be written or holds links, pipes or devices.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.check_plain(folder)
        lock = Lock(folder)
        files.remove_unfinished(folder, _WRITTEN)
        checkpoint.remove_unfinished(folder)
    except Held as error:
        raise ValueError(f"{error}; wait for it or choose another folder") from None
    except OSError as error:
        raise ValueError(f"run folder {folder} cannot be written: {error.strerror}") from error
    try:
        yield
    except OSError as error:  # for example a full disk: the error of a failed write does not name the file
        error.filename = error.filename or str(folder)
        raise
    finally:
        lock.close()
