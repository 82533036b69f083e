"""Carry a trained network on to another task."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nounroll.data.task import SequenceTask
from nounroll.experiments.run import Run, fit
from nounroll.methods import ADAPT
from nounroll.models.student import Student


def adapt(
    student: Student | str | Path,
    task: SequenceTask,
    *,
    head: str = "keep",
    anchor: float | None = None,
    rehearse: SequenceTask | str | Path | float | tuple[SequenceTask | str | Path, float] | None = None,
    update: str = "all",
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> Run:
    """Adapt a trained network to another task, and keep what it knew: ``fit`` by the method ``adapt``.

    ::

        run = nounroll.adapt(old.student, task, rehearse=(old_task, 0.3), seconds=60)
        run.metrics["old_loss_before"], run.metrics["old_loss"], run.metrics["memory_change"]

    Args:
        student: the network, which stays as it is; or the folder of one, or of a run.
        task: the new one. Targets of another space have a new readout.
        head: the readout is kept, or begins anew.
        anchor: weight of the pull to the network as it was (``AdaptSettings``).
        rehearse: the old task, or the folder of the run that learnt it; the share of old sequences; or both. Without
            the task the network writes its old sequences itself, where it can.
        update: what learns: "all", the "readout" alone, or m_∅ (the "start") alone.
        settings: further ones of a recipe, by their dotted names.
        options: of ``fit``: length, a budget (seconds=...), seed, out, resume, progress.

    Returns:
        The run. Beside the figures of the new task its metrics have, of the old sequences, ``memory_change`` (mean
        squared distance of the memories to what they were, as a share of their variance) and, where the readout is
        kept, ``old_loss_before`` and ``old_loss`` (bits and accuracy likewise).

    Raises:
        ValueError: a setting is not usable, or what is given does not go together.
    """
    if head not in ("keep", "new"):
        raise ValueError(f"head is {head!r}; it must be 'keep' or 'new'")
    old, share = rehearse if isinstance(rehearse, tuple) else (rehearse, None)
    if isinstance(old, int | float):
        old, share = None, old
    named = {"adapt.anchor": anchor, "adapt.rehearse": share, "adapt.update": update}
    return fit(
        task,
        method=ADAPT,
        student=student,
        new=("head",) if head == "new" else (),
        rehearse=old,
        settings={**{name: value for name, value in named.items() if value is not None}, **(settings or {})},
        **options,
    )
