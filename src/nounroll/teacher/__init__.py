"""The teacher: labels every prefix with a memory. It is dropped after training."""

import sys

from torch import nn

from nounroll.core.batch import Space
from nounroll.teacher.base import Teacher, TeacherSettings
from nounroll.teacher.causal import CausalEncoder
from nounroll.teacher.decoder import TransformerDecoder
from nounroll.teacher.pretrained import PretrainedEncoder
from nounroll.teacher.slots import SlotDecoder, SlotEncoder
from nounroll.teacher.window import WindowEncoder

__all__ = ["Teacher", "TeacherSettings", "build_teacher"]

_ENCODERS = {"causal": CausalEncoder, "window": WindowEncoder}


def build_teacher(
    settings: TeacherSettings, inputs: Space, targets: Space, cell: nn.Module, *, recompute: bool = False
) -> Teacher:
    """A teacher whose memories ``cell`` can hold.

    ``recompute`` computes the encoder's layers again for their gradients in place of keeping what they need: less
    memory, about a third more work.
    """
    shape: tuple[int, int] = tuple(cell.memory_shape)  # type: ignore[assignment]
    horizon = settings.horizon or sys.maxsize
    if settings.kind == "slots":
        slots = SlotEncoder(settings, inputs, targets, shape, recompute=recompute)
        decoder = SlotDecoder(slots, settings.width, horizon) if settings.decoder_layers else None
        return Teacher(settings, cell, slots, nn.Identity(), decoder)
    if settings.kind == "transformers":
        encoder = PretrainedEncoder(settings, inputs, targets)
    else:
        encoder = _ENCODERS[settings.kind](settings, inputs, recompute=recompute)
    head = nn.Linear(encoder.width, shape[0] * shape[1])
    apart = TransformerDecoder(settings, inputs, targets, shape, horizon) if settings.decoder_layers else None
    return Teacher(settings, cell, encoder, head, apart)
