"""Rivals of the package aeon: ROCKET, and the nearest neighbour under dynamic time warping (DTW).

They need aeon with what it brings along (``pip install aeon``), which is best had in an environment of its own.
Channels have mean 0 and deviation 1 over the training part. ROCKET takes series of one length: others are stretched to
the longest of the training part. DTW warps by a tenth of the length at most, and takes series as they are.
"""

from typing import Any

import numpy as np
from classification_sets import Labelled


def predict(contender: str, data: Labelled, seed: int) -> np.ndarray:
    """Classes of the test part.

    Raises:
        ImportError: aeon is not there, or not whole.
    """
    steps = np.concatenate(data.train)
    mean, deviation = steps.mean(0), steps.std(0).clip(min=1e-6)
    train, test = ([((one - mean) / deviation).T for one in part] for part in (data.train, data.test))
    if contender == "rocket":
        length = max(one.shape[1] for one in train)
        train, test = (np.stack([_stretched(one, length) for one in part]) for part in (train, test))
    elif len({one.shape[1] for one in (*train, *test)}) == 1:
        train, test = np.stack(train), np.stack(test)
    return np.asarray(_classifier(contender, seed).fit(train, data.y_train).predict(test))


def _classifier(contender: str, seed: int) -> Any:
    if contender == "rocket":
        from aeon.classification.convolution_based import RocketClassifier

        return RocketClassifier(random_state=seed, n_jobs=1)
    from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

    return KNeighborsTimeSeriesClassifier(n_neighbors=1, distance="dtw", distance_params={"window": 0.1}, n_jobs=1)


def _stretched(series: np.ndarray, length: int) -> np.ndarray:
    """(d, T) -> (d, length), by straight lines between the steps."""
    places = np.linspace(0, series.shape[1] - 1, length)
    return np.stack([np.interp(places, np.arange(series.shape[1]), channel) for channel in series])
