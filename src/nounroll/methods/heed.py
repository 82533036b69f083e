"""Heed: weight of the teacher's labels by how far the teacher is ahead of its student (ours)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from nounroll.core.processes import mean, variance
from nounroll.models.student import Student
from nounroll.objectives.dynamics import dynamics
from nounroll.objectives.readout import masked_mean, negative_log_likelihood

_LOST = 0.5  # drift over the variance of memories, above which a student may be lost
_CLEARLY_WORSE = 0.25  # share of the knowable loss
_FULL_PULL = 0.5  # share of the knowable loss; a teacher that is ahead by this much gets its full weight


@dataclass(frozen=True)
class Windows:
    """W windows of w steps of each sequence of a batch.

    Attributes:
        starts: (B, W) first step of each window.
        inputs, targets, mask: (B W, w, ...) at the windows' steps.
        counts: (B W, w) False at repeated steps of overlapping windows, so that each step counts once.
        start: (B W, K, d) memory before the first step.
        label: (B W, w, K, d) the teacher's memory after each step; None if it is not used.
        kept: (K, d) the coordinates of labels that are regressed on; None for all.
        expected: (B W, w, V) the teacher's prediction of the targets, if it is distilled.
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

    def split(self, rows: int) -> Iterator["Windows"]:
        """Yield parts of ``rows`` windows; ``starts`` is not split."""
        for begin in range(0, len(self.inputs), rows):
            part = slice(begin, begin + rows)
            label, expected = (None if one is None else one[part] for one in (self.label, self.expected))
            x, y, mask, counts = (one[part] for one in (self.inputs, self.targets, self.mask, self.counts))
            yield Windows(self.starts, x, y, mask, counts, self.start[part], label, self.kept, expected)


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
