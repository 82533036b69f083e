"""Windows of DMT, and the student's own memories from which they start."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from nounroll.core.batch import Batch
from nounroll.models.student import Student
from nounroll.rollout.windows import at_times


@dataclass(frozen=True)
class Windows:
    """W windows of w steps of each sequence of a batch.

    Attributes:
        starts: (B, W) first step of each window.
        inputs, targets, mask: (B W, w, ...) at the windows' steps.
        counts: (B W, w) False at repeated steps of overlapping windows, so that each step counts once.
        start: (B W, K, d) memory before the first step.
        labels: (B, T+1, K, d) the teacher's memories of the whole sequences; None if they are not used.
        places: (B W,) place of each window's first label among all labels of the batch.
        kept: (K, d) the coordinates of labels that are regressed on; None for all.
        expected: (B W, w, V) the teacher's prediction of the targets, if it is distilled.
    """

    starts: Int[Tensor, "B W"]
    inputs: Shaped[Tensor, "BW width *x"]
    targets: Shaped[Tensor, "BW width *y"]
    mask: Bool[Tensor, "BW width"]
    counts: Bool[Tensor, "BW width"]
    start: Float[Tensor, "BW K d"]
    labels: Float[Tensor, "B T1 K d"] | None
    places: Int[Tensor, "BW"]
    kept: Bool[Tensor, "K d"] | None
    expected: Float[Tensor, "BW width V"] | None

    @property
    def label(self) -> Float[Tensor, "BW width K d"] | None:
        """The teacher's memory after each step, copied at every call."""
        if self.labels is None:
            return None
        steps = torch.arange(self.mask.shape[1], device=self.places.device)
        return self.labels.flatten(0, 1)[self.places[:, None] + steps]

    def split(self, rows: int) -> Iterator["Windows"]:
        """Yield parts of ``rows`` windows; ``starts`` and ``labels`` are not split."""
        for begin in range(0, len(self.inputs), rows):
            part = slice(begin, begin + rows)
            x, y, mask, counts, start, places = (
                one[part] for one in (self.inputs, self.targets, self.mask, self.counts, self.start, self.places)
            )
            expected = None if self.expected is None else self.expected[part]
            yield Windows(self.starts, x, y, mask, counts, start, self.labels, places, self.kept, expected)


def own_memories(
    student: Student, batch: Batch, starts: Int[Tensor, "B W"], width: int, chunk: int = 0, *, whole: bool
) -> tuple[Float[Tensor, "B T1 K d"] | None, Float[Tensor, "BW K d"]]:
    """Roll out a student without gradients; return its memories if ``whole``, and those at the ``starts`` of windows.

    Unless ``whole``, the rollout ends where the last window of ``width`` steps can start, and no more than ``chunk``
    of its steps are held at once; 0 holds all.
    """
    memory = student.initial_memory(batch.batch_size).detach()
    length = batch.length if whole else batch.length - width
    span = chunk if chunk and not whole else max(1, length)
    start, own = memory[:, None].expand(-1, starts.shape[1], -1, -1), None
    for begin in range(0, length, span):
        own = student.rollout(batch.inputs[:, begin : min(begin + span, length)], memory)
        end, memory = begin + own.shape[1] - 1, own[:, -1]
        here = (begin < starts) & (starts <= end)
        start = torch.where(here[..., None, None], at_times(own, (starts - begin).clamp(0, end - begin)), start)
    return own if whole else None, start.flatten(0, 1)
