"""Pictures of pixels."""

from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float

_SIDE = 96  # approximate pixels of the file for each image
_GAP = 2


def write_grid(path: Path | BytesIO, images: Float[np.ndarray, "N H W"], columns: int) -> None:
    """Write grey images, 0 (black) to 1 (white), side by side into one PNG file."""
    from matplotlib.image import imsave

    scale = max(1, _SIDE // max(images.shape[1:]))
    large = images.repeat(scale, axis=1).repeat(scale, axis=2)
    framed = np.pad(large, ((0, 0), (0, _GAP), (0, _GAP)), constant_values=1.0)
    rows = [np.concatenate(list(framed[i : i + columns]), axis=1) for i in range(0, len(framed), columns)]
    imsave(path, np.concatenate(rows), cmap="gray", vmin=0, vmax=1, format="png")
