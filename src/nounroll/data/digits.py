"""Digits: 8x8 images of handwritten digits, small enough for minutes on a CPU."""

import numpy as np

from nounroll.data.images import PixelImages
from nounroll.data.rows import held_out_rows
from nounroll.data.sources import optional


class Digits(PixelImages):
    """Images of scikit-learn's ``load_digits``: 1,797 digits of 64 pixels with 17 grey levels.

    ::

        inputs    START  0  0  5  13  9  1  ...        START = 17
        targets   0      0  5  13  9  1  0  ...        64 steps; a smaller length reads the first pixels

    1,500 images are for training and 297 are held out, by a fixed permutation.
    """

    def __init__(self) -> None:
        data = optional("sklearn.datasets", "task digits", "digits").load_digits()
        images = data.images.astype(np.uint8)
        held_out = held_out_rows("digits", len(images), 297)
        super().__init__(images=images, held_out=held_out, levels=17, name="digits")
