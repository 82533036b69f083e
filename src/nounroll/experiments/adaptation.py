"""Adaptation of a trained network to another task."""

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
    update: str | None = None,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> Run:
    """Adapt a trained network to another task and preserve what it has learnt: ``fit`` with the method ``adapt``.

    ::

        run = nounroll.adapt(old.student, task, rehearse=(old_task, 0.3), seconds=60)
        run.metrics["old_loss_before"], run.metrics["old_loss"], run.metrics["memory_change"]

    Args:
        student: the network; a copy of it is trained. Or the folder of a network or of a run.
        task: the new task. If its targets are of another space, the readout is replaced by a new one.
        head: keep the readout, or start with a new one.
        anchor: weight of the penalty that keeps the network close to the original one (``AdaptSettings``).
        rehearse: the old task, or the folder of the run that learnt it; the share of old sequences; or both. Without
            the task, the network generates old sequences itself, if it can.
        update: the weights that learn: "all", the default; the "readout" alone; the readout and a "low-rank" update of
            the cell's matrices; or m_∅ (the "start") alone.
        settings: other settings of a recipe, by their dotted names.
        options: options of ``fit``: length, a budget (seconds=...), seed, out, resume, progress.

    Returns:
        The run. Its metrics are measured on the new task. ``memory_change`` is measured on the old sequences: the mean
        squared distance of the memories from the old network's, as a share of their variance. If the readout is kept,
        there are also ``old_loss_before`` and ``old_loss``, and the same pair for bits and accuracy.

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
