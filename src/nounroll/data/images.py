"""Images as sequences of pixels, row by row."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from torch import Tensor

from nounroll.data.rows import TokenRows

_SHADES = " .:-=+*#%@"


class PixelImages(TokenRows):
    """Grey images in raster order; each pixel is one symbol, after a START symbol.

    ::

        inputs    START  p_0  p_1  ...  p_{T-2}        p_i = grey level at row i // W, column i % W
        targets   p_0    p_1  p_2  ...  p_{T-1}

    Args:
        images: (N, H, W) uint8 grey levels.
        held_out: indices of the held-out images, the first half for validation, the second for the test.
        levels: the grey levels are 0 .. levels - 1, and START is ``levels``.
        name: the data's name in errors.

    Attributes:
        image_shape: (H, W).
        levels: number of grey levels.
    """

    lengths = "whole"  # a part of an image is not an easier image

    def __init__(
        self, *, images: UInt8[np.ndarray, "N H W"], held_out: Int[np.ndarray, "M"], levels: int, name: str
    ) -> None:
        super().__init__(tokens=images.reshape(len(images), -1), held_out=held_out, symbols=levels, name=name)
        self.image_shape: tuple[int, int] = (images.shape[1], images.shape[2])
        self.levels = levels

    def speech(self) -> dict[str, Any]:
        return {**super().speech(), "image_shape": self.image_shape, "levels": self.levels}

    def speak(self, kept: Mapping[str, Any]) -> None:
        super().speak(kept)
        height, width = map(int, kept["image_shape"])
        self.image_shape, self.levels = (height, width), int(kept["levels"])

    def decode(self, values: Tensor) -> str:
        """Draw the pixels with characters, one line per row; START is left out."""
        pixels = [v for v in values.tolist() if v != self.start]
        shades = "".join(_SHADES[v * (len(_SHADES) - 1) // (self.levels - 1)] for v in pixels)
        width = self.image_shape[1]
        return "\n".join(shades[i : i + width] for i in range(0, len(shades), width))


def quantise(images: UInt8[np.ndarray, "*n"], levels: int) -> UInt8[np.ndarray, "*n"]:
    """Quantise bytes 0..255 to grey levels 0 .. levels - 1 of equal width."""
    return (images.astype(np.uint16) * levels // 256).astype(np.uint8)


def average_pool(images: UInt8[np.ndarray, "N S S"], side: int) -> UInt8[np.ndarray, "N side side"]:
    """Average squares of pixels: (N, S, S) bytes -> (N, side, side) bytes; ``side`` divides S."""
    n, size, _ = images.shape
    if side == size:
        return images
    squares = images.reshape(n, side, size // side, side, size // side)
    return np.rint(squares.mean((2, 4), dtype=np.float32)).astype(np.uint8)
