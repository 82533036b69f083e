"""Fashion-MNIST: images of clothes, in the form of MNIST but harder (Xiao et al. 2017)."""

from pathlib import Path

from nounroll.data.grey_images import GreyImages, from_hub_or

_HUB = "zalando-datasets/fashion_mnist"


class FashionMNIST(GreyImages):
    """Images of clothing, 60,000 and 10,000 of 28x28 pixels, from the hub or local files.

    On the hub it is "zalando-datasets/fashion_mnist"; Debian's package dataset-fashion-mnist holds the IDX files.

    Args:
        levels: number of grey levels, 2 to 256.
        path: local files, as ``nounroll.data.grey_images.from_path`` lists them: IDX files, a CSV file, or tables.
        side: 28, or 14 or 7 to average squares of 2x2 or 4x4 pixels.
    """

    def __init__(self, *, levels: int = 16, path: str | Path | None = None, side: int = 28) -> None:
        super().__init__(
            kind="fashion_mnist", levels=levels, side=side, load=lambda: from_hub_or(path, "fashion_mnist", _HUB)
        )
