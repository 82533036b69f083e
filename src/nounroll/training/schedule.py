"""Schedules over a method's budget, as pure functions of progress (0 to 1)."""

import math
from collections.abc import Sequence

from nounroll.core.batch import Batch
from nounroll.core.seeding import generator
from nounroll.data.task import SequenceTask, followed, training_batch
from nounroll.teacher import Teacher
from nounroll.training.settings import TrainingSettings
from nounroll.training.variation import varied

_WARMUP = 0.03  # share of a method's budget in which the learning rate rises
_FLOOR = 0.02  # the cosine ends at this share of the peak
_FIRST = 1e-3  # progress of the very first step, so that its learning rate is not 0
_SHORTER = 0.4  # share of a method's budget that all shorter lengths of the curriculum take together


def learning_rate(settings: TrainingSettings, progress: float) -> float:
    """Return the factor on the learning rate: a linear warm-up, then a cosine decay (or none)."""
    rise = min(1.0, (progress + _FIRST) / _WARMUP)
    if settings.schedule == "constant":
        return rise
    return rise * (_FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def stages(settings: TrainingSettings, length: int) -> list[int]:
    """List the lengths of the curriculum, the recipe's length last: 64, 128, 256 for 256."""
    found = [length]
    while settings.curriculum and found[0] // 2 >= settings.curriculum:
        found.insert(0, found[0] // 2)
    return found


def taught(stages: tuple[int, ...], teacher: Teacher | None) -> tuple[int, ...]:
    """Return the lengths that teach a teacher something: all, or those up to ``Teacher.long_enough``."""
    limit = None if teacher is None else teacher.long_enough
    return stages if limit is None else tuple(n for n in stages if n <= limit) or stages[:1]


def length_at(stages: Sequence[int], progress: float) -> int:
    """Return the current T: the shorter stages share a part of the budget equally."""
    shorter = len(stages) - 1
    if not shorter or progress >= _SHORTER:
        return stages[-1]
    return stages[int(progress / _SHORTER * shorter)]


def scored_batch(
    task: SequenceTask,
    settings: TrainingSettings,
    stages: Sequence[int],
    progress: float,
    step: int,
    *,
    in_order: bool = False,
) -> Batch:
    """Draw the current training batch at the curriculum's length, or a longer one if it has no scored target.

    With ``in_order`` the batch is the next part of a stream, unchanged. Otherwise real inputs are varied
    (``training.vary``, see ``nounroll.training.variation``).

    Raises:
        ValueError: see ``nounroll.data.task.draw``.
    """
    s, length = settings, length_at(stages, progress)
    if in_order:
        return followed(task, s.batch_size, length, step)
    batch = training_batch(task, s.batch_size, length, s.seed, step)
    for longer in stages[list(stages).index(length) + 1 :]:
        if batch.mask.any():
            break
        batch = training_batch(task, s.batch_size, longer, s.seed, step)
    return varied(batch, s.vary, generator(s.seed, "vary", step)) if s.vary and task.inputs.affine else batch
