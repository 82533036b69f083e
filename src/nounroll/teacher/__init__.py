"""The teacher: labels every prefix with a memory. It is dropped after training."""

from nounroll.batch import Space
from nounroll.teacher.base import Teacher, TeacherSettings
from nounroll.teacher.causal import CausalEncoder
from nounroll.teacher.window import WindowEncoder

__all__ = ["Teacher", "TeacherSettings", "build_teacher"]

_ENCODERS = {"causal": CausalEncoder, "window": WindowEncoder}


def build_teacher(settings: TeacherSettings, inputs: Space, targets: Space, cell: object) -> Teacher:
    """A teacher whose memories ``cell`` can hold."""
    return Teacher(settings, inputs, targets, cell, _ENCODERS[settings.kind](settings, inputs))
