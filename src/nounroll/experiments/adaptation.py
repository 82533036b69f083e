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
        student: the network, of which a copy is trained; or the folder of a network or of a run.
        task: the new task. Targets of another space get a new readout.
        head: keep the readout, or begin with a new one.
        anchor: weight of the pull to the network as it was (``AdaptSettings``).
        rehearse: the old task, or the folder of the run that learnt it; the share of old sequences; or both. Without
            the task the network writes old sequences itself, if it can.
        update: the weights that learn: "all", the "readout" alone, or m_∅ (the "start") alone.
        settings: other settings of a recipe, by their dotted names.
        options: of ``fit``: length, a budget (seconds=...), seed, out, resume, progress.

    Returns:
        The run. Its metrics are those of the new task and, on the old sequences, ``memory_change`` (mean squared
        distance of the memories from the old network's, as a share of their variance). Where the readout is kept,
        there are also ``old_loss_before`` and ``old_loss``, and the same for bits and accuracy.

    Raises:
        ValueError: a setting is not usable, or two arguments contradict each other.
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
