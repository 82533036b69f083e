"""What changes over a method's budget, as pure functions of progress (0 to 1)."""

import math

from nounroll.training.settings import TrainingSettings

_FLOOR = 0.02  # the cosine ends at this share of the peak
_FIRST = 1e-3  # progress of the very first step, so that its learning rate is not 0


def learning_rate(settings: TrainingSettings, progress: float) -> float:
    """The factor on the learning rate: a linear warm-up, then a cosine fall (or none)."""
    rise = min(1.0, (progress + _FIRST) / settings.warmup) if settings.warmup else 1.0
    if settings.schedule == "constant":
        return rise
    return rise * (_FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def lengths(settings: TrainingSettings, length: int) -> list[int]:
    """Lengths of the curriculum, the recipe's length last: 64, 128, 256 for 256."""
    if not settings.curriculum:
        return [length]
    stages = [length]
    while stages[0] // 2 >= settings.first_length:
        stages.insert(0, stages[0] // 2)
    return stages


def length_at(settings: TrainingSettings, stages: list[int], progress: float) -> int:
    """T at this moment: the shorter stages share ``curriculum_share`` of the budget equally."""
    shorter = len(stages) - 1
    if not shorter or progress >= settings.curriculum_share:
        return stages[-1]
    return stages[int(progress / settings.curriculum_share * shorter)]
