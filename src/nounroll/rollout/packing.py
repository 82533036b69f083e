"""Packing: how much a memory holds of later targets.

The loss of a teacher that looks back does not show whether its memory holds anything. Here a sequence is cut, and the
targets after the cut are predicted three times: by the teacher itself, which may look back past the cut; by its
decoder from the teacher's memory at the cut; and by its decoder from the student's own memory.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.cells.base import observe
from nounroll.core.batch import Batch, Space, apart
from nounroll.core.precision import wide
from nounroll.models.student import Student
from nounroll.rollout.chunks import losses_by_rows, scores
from nounroll.teacher import Teacher
from nounroll.teacher.decoder import Decoder

_ROWS = 32  # number of sequences
_KNOWN = 0.5  # share of the knowable loss from which a teacher counts as able to predict
_PACKED = 0.5  # share of the teacher's gain below which its memory counts as empty


@dataclass(frozen=True)
class Packing:
    """Mean losses after one cut, in nats per scored target.

    Attributes:
        cut: number of time steps before the cut.
        teacher: loss of the teacher itself, with the whole past.
        packed: loss of the decoder, from the teacher's memory.
        student_packed: loss of the decoder, from the student's memory after a rollout.
    """

    cut: int
    teacher: float
    packed: float
    student_packed: float


@torch.no_grad()
def packing(student: Student, teacher: Teacher, batch: Batch, *, cuts: int = 4) -> list[Packing]:
    """Measure packing at ``cuts`` times, spread evenly over the steps before the last scored one.

    A decoder with a horizon predicts only that many targets after the cut. Cuts without targets are left out.

    Args:
        student: source of memories and of the readout.
        teacher: teacher with a trained decoder.
        batch: held-out sequences; at most 32 are used.
        cuts: number of cuts.
    """
    decoder = teacher.decoder
    batch = apart(batch.rows(0, _ROWS))[0].rows(0, _ROWS).to(student.empty_memory.device)
    if decoder is None or not batch.mask.any():
        return []
    read = teacher.read(batch.inputs)
    labels, own = teacher.labels(read), student.rollout(batch.inputs)
    last = int(batch.mask.any(0).nonzero().max())
    found = []
    for cut in sorted({round(last * (i + 1) / cuts) for i in range(cuts)} - {0}):
        end = min(cut + decoder.horizon - 1, batch.length)
        span = slice(cut, end)
        scored = batch.mask[:, span]
        if not scored.any():
            continue
        losses = [
            _answered(student, teacher, read, labels, batch, span),
            *(foretold(decoder, student.targets, m[:, cut], batch, slice(cut - 1, end))[:, 1:] for m in (labels, own)),
        ]
        found.append(Packing(cut, *(float(wide(one[scored]).mean()) for one in losses)))
    return found


def _answered(student: Student, teacher: Teacher, read: Tensor, labels: Tensor, batch: Batch, span: slice) -> Tensor:
    """Losses (B, F) of the teacher with the whole past: of its own predictions, or of the readout of its memories."""
    space, targets = student.targets, batch.targets[:, span]
    first, last = span.start, span.stop
    if not teacher.answers:
        return scores(student.head, space, observe(student.cell, labels[:, first + 1 : last + 1]), targets)[0]

    def answers(rows: slice) -> Tensor:
        found = teacher.look_back(read[rows, first : last + 1])
        assert found is not None
        return found

    return losses_by_rows(answers, space, targets)


def foretold(
    decoder: Decoder, space: Space, memory: Float[Tensor, "B K d"], batch: Batch, span: slice
) -> Float[Tensor, "B F"]:
    """Compute a decoder's losses on ``span``, from the memory after its first input and the later inputs."""
    future = batch.inputs[:, span.start + 1 : span.stop]
    return losses_by_rows(lambda rows: decoder(memory[rows], future[rows]), space, batch.targets[:, span])


def mean_packing(found: list[Packing]) -> dict[str, float]:
    """Average "packed" and "student_packed" over the cuts; empty if there are no cuts."""
    if not found:
        return {}
    return {name: _mean(found, name) for name in ("packed", "student_packed")}


def warning(found: list[Packing], guess: float, knowable: float) -> str:
    """Return a one-line warning if the teacher predicts well but not from its memory alone; else an empty text.

    Args:
        found: results of all cuts.
        guess: loss of the best constant guess.
        knowable: nats per scored element that can be learnt.
    """
    if not found:
        return ""
    teacher, packed = _mean(found, "teacher"), _mean(found, "packed")
    knows, holds = guess - teacher, guess - packed
    if not math.isfinite(packed) or knows < _KNOWN * knowable or holds >= _PACKED * knows:
        return ""
    return (
        f"the teacher answers and its memory does not: {packed:.3g} nats are left of {guess:.3g} where only the memory"
        f" can tell, {teacher:.3g} where it may look back; try teacher.kind=slots, or more numbers in the memory"
    )


def _mean(found: list[Packing], name: str) -> float:
    return sum(getattr(one, name) for one in found) / len(found)
