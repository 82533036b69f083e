"""Weighing of the teacher by how far it is ahead of its student (ours)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from nounroll.core.processes import mean, variance
from nounroll.models.student import Student
from nounroll.objectives.dynamics import dynamics
from nounroll.objectives.readout import masked_mean, negative_log_likelihood

_LOST = 0.5  # drift over the variance of memories, above which a student may be lost
_CLEARLY_WORSE = 0.25  # of what there is to know
_FULL_PULL = 0.5  # of what there is to know: a teacher that is ahead by so much pulls with its whole weight


@dataclass(frozen=True)
class Windows:
    """W windows of w steps of each sequence of a batch.

    Attributes:
        starts: (B, W) first step of each.
        inputs, targets, mask: (B W, w, ...) of their steps.
        counts: (B W, w) False where windows overlap: a step counts once.
        start: (B W, K, d) memory before the first step.
        label: (B W, w, K, d) the teacher's memory after each step; None where it is not followed.
        kept: (K, d) which numbers of it are followed; None for all.
        expected: (B W, w, V) what the teacher expects of the targets, where it is distilled.
    """

    starts: Int[Tensor, "B W"]
    inputs: Shaped[Tensor, "BW width *x"]
    targets: Shaped[Tensor, "BW width *y"]
    mask: Bool[Tensor, "BW width"]
    counts: Bool[Tensor, "BW width"]
    start: Float[Tensor, "BW K d"]
    label: Float[Tensor, "BW width K d"] | None
    kept: Bool[Tensor, "K d"] | None
    expected: Float[Tensor, "BW width V"] | None


def heed(
    student: Student,
    windows: Windows,
    own: Float[Tensor, "BW width K d"],
    expert: Float[Tensor, "BW K d"],
    knowable: float,
    there: Bool[Tensor, "BW"] | None = None,
) -> tuple[Float[Tensor, "BW K d"], dict[str, Tensor]]:
    """Choose where windows start, and measure how far the teacher is ahead on them, from 0 to 1.

    A window starts at the teacher's memory where the student is lost.

    Args:
        student: whose readout judges both.
        windows: that start at the student's memories.
        own: its memories at their steps.
        expert: the teacher's memories at their starts.
        knowable: nats per scored element that there are to know.
        there: windows that are more than what fills up a row; None for all.

    Returns:
        The starts; "ahead", how far the teacher reads out better, and "lost", the share of windows that begin anew.
    """
    assert windows.label is not None
    targets, mask = windows.targets, windows.mask

    def surprise(memories: Float[Tensor, "BW width K d"]) -> Float[Tensor, "BW width"]:
        return negative_log_likelihood(student.targets, student.readout(memories), targets)

    behind = surprise(own) - surprise(windows.label)
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
    """Windows from whose start the student can learn nothing.

    Its memory is far from the teacher's, and its readout is clearly worse, or nothing is scored there.

    Args:
        start, expert: the memories of the student and of the teacher where windows start.
        behind: nats by which the student reads out worse, at each step.
        mask: True where a target is scored.
        knowable: nats per scored element that there are to know.
        there: windows whose memories count for the variance; None for all.
    """
    far = dynamics(start, expert) > _LOST * variance(expert if there is None else expert[there])
    worse = torch.where(mask, behind, 0.0).sum(1) / mask.sum(1).clamp(min=1) > _CLEARLY_WORSE * knowable
    return far & (worse | ~mask.any(1))
