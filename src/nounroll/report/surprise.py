"""Text coloured by the surprise of each character."""

import codecs
from collections.abc import Sequence
from typing import Any

SHADES = 9  # one for each bit from 0; the last means 8 bits or more


def coloured(text: bytes, bits: Sequence[float]) -> list[dict[str, Any]]:
    """Split a text into characters with text, bits (of all bytes of the character) and shade, 0 to 8.

    Args:
        text: UTF-8; invalid bytes are shown as �.
        bits: surprise of each byte.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    spans, pending = [], 0.0
    for place, (byte, surprise) in enumerate(zip(text, bits, strict=True), start=1):
        pending += surprise
        if character := decoder.decode(bytes([byte]), final=place == len(text)):
            spans.append({"text": character, "bits": pending, "shade": min(int(pending), SHADES - 1)})
            pending = 0.0
    return spans
