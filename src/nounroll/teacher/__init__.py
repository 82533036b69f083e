"""Teacher: a network that labels every prefix with a memory. It is dropped after training."""

import sys

from torch import nn

from nounroll.core.batch import Space
from nounroll.teacher.base import TEACHERS, Teacher, TeacherSettings
from nounroll.teacher.decoder import TransformerDecoder

__all__ = ["Teacher", "TeacherSettings", "build_teacher"]


def build_teacher(
    settings: TeacherSettings, inputs: Space, targets: Space, cell: nn.Module, *, recompute: bool = False
) -> Teacher:
    """Build a teacher whose memories are in the range of ``cell``.

    With ``recompute`` the encoder's layers are recomputed for their gradients, instead of keeping activations: it takes
    less memory and about a third more work.
    """
    shape: tuple[int, int] = tuple(cell.memory_shape)  # type: ignore[assignment]
    encoder = TEACHERS.make(settings.kind, settings, inputs, targets, shape, recompute=recompute)
    width, horizon, decoder = getattr(encoder, "width", None), settings.horizon or sys.maxsize, None
    head = nn.Identity() if width is None else nn.Linear(width, shape[0] * shape[1])
    if settings.decoder_layers and hasattr(encoder, "decoder"):
        decoder = encoder.decoder(horizon)
    elif settings.decoder_layers:
        decoder = TransformerDecoder(settings, inputs, targets, shape, horizon)
    return Teacher(settings, cell, encoder, head, decoder)
