"""The teacher: labels every prefix with a memory. It is dropped after training."""

from nounroll.batch import Space
from nounroll.teacher.base import Teacher, TeacherSettings
from nounroll.teacher.causal import CausalEncoder
from nounroll.teacher.window import WindowEncoder

__all__ = ["Teacher", "TeacherSettings", "build_teacher"]

_ENCODERS = {"causal": CausalEncoder, "window": WindowEncoder}


def build_teacher(
    settings: TeacherSettings, inputs: Space, targets: Space, cell: object, *, recompute: bool = False
) -> Teacher:
    """A teacher whose memories ``cell`` can hold.

    ``recompute`` computes the encoder's layers again for their gradients in place of keeping what they need: less
    memory, about a third more work.
    """
    encoder = _ENCODERS[settings.kind](settings, inputs, recompute=recompute)
    return Teacher(settings, inputs, targets, cell, encoder)
