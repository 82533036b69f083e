"""Heed: weight of the teacher's labels by how far the teacher is ahead of its student (ours).

A teacher that was not ahead in several batches is asked in some of the next batches only, and more and more seldom. The
others need no labels.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nounroll.core.processes import largest, mean, variance
from nounroll.methods.base import State
from nounroll.methods.windows import Windows
from nounroll.models.student import Student
from nounroll.objectives.dynamics import dynamics
from nounroll.objectives.readout import masked_mean, negative_log_likelihood

_LOST = 0.5  # drift over the variance of memories, above which a student may be lost
_CLEARLY_WORSE = 0.25  # share of the knowable loss
_FULL_PULL = 0.5  # share of the knowable loss; a teacher that is ahead by this much gets its full weight
_LITTLE = 0.05  # of "ahead" and "lost" together, below which the teacher has said nothing
_PATIENCE = 8  # batches in a row in which it must have said nothing
_SELDOM = 64  # most steps between two questions
SILENT = "silent"  # name in the state: steps since the teacher has last said something


def heed(
    student: Student,
    windows: Windows,
    own: Float[Tensor, "BW width K d"],
    expert: Float[Tensor, "BW K d"],
    knowable: float,
    there: Bool[Tensor, "BW"] | None = None,
) -> tuple[Float[Tensor, "BW K d"], dict[str, Tensor]]:
    """Choose the start of each window, and measure how far the teacher is ahead, from 0 to 1.

    A window starts at the teacher's memory if the student is lost.

    Args:
        student: its readout judges both memories.
        windows: windows that start at the student's memories.
        own: the student's memories at the windows' steps.
        expert: the teacher's memories at the windows' starts.
        knowable: nats per scored element between a constant guess and the best prediction.
        there: windows that are not mere padding of a row; None for all.

    Returns:
        The starts; "ahead", how much better the teacher reads out; "lost", the share of windows that were moved.
    """
    label, targets, mask = windows.label, windows.targets, windows.mask
    assert label is not None

    def surprise(memories: Float[Tensor, "BW width K d"]) -> Float[Tensor, "BW width"]:
        return negative_log_likelihood(student.targets, student.readout(memories), targets)

    behind = surprise(own) - surprise(label)
    lost = is_lost(windows.start, expert, behind, mask, knowable, there)
    ahead = masked_mean(behind, mask & windows.counts) / (_FULL_PULL * knowable)
    start = torch.where(lost[:, None, None], expert, windows.start)
    return start, {"ahead": ahead.clamp(0, 1), "lost": mean((lost if there is None else lost[there]).float().mean())}


def is_lost(
    start: Float[Tensor, "BW K d"],
    expert: Float[Tensor, "BW K d"],
    behind: Float[Tensor, "BW width"],
    mask: Bool[Tensor, "BW width"],
    knowable: float,
    there: Bool[Tensor, "BW"] | None = None,
) -> Bool[Tensor, "BW"]:
    """Find the windows from whose start the student can learn nothing.

    The student's memory there is far from the teacher's, and its readout is clearly worse, or nothing is scored.

    Args:
        start, expert: memories of the student and of the teacher at the windows' starts.
        behind: nats by which the student's readout is worse, at each step.
        mask: True where a target is scored.
        knowable: nats per scored element between a constant guess and the best prediction.
        there: windows whose memories enter the variance; None for all.
    """
    far = dynamics(start, expert) > _LOST * variance(expert if there is None else expert[there])
    worse = torch.where(mask, behind, 0.0).sum(1) / mask.sum(1).clamp(min=1) > _CLEARLY_WORSE * knowable
    return far & (worse | ~mask.any(1))


def silent_steps(state: State) -> int | None:
    """Return for how many steps the teacher has said nothing; None before the first step, and on the meta device.

    A part of a batch may know of fewer steps than another. Processes agree on the most.
    """
    silent = state.get(SILENT)
    return None if silent is None or silent.is_meta else int(largest(silent.max()))


def is_due(silent: int | None) -> bool:
    """Return whether to ask the teacher: at first at every step, then after 8, 16, 32 and 64 silent ones, and so on."""
    if silent is None or silent < _PATIENCE:
        return True
    return silent % min(_SELDOM, 1 << silent.bit_length() - 1) == 0


def noted(silent: int | None, figures: dict[str, Tensor], rows: int) -> State:
    """Return the state after a step: the steps since the teacher has last said something, in every row, (1, B)."""
    before = torch.full((1, rows), 1.0 + (silent or 0))
    if "ahead" not in figures:
        return {SILENT: before}
    said = figures["ahead"] + figures["lost"]
    before = before.to(said.device)
    return {SILENT: torch.where(said < _LITTLE, before, torch.zeros_like(before))}
