"""Time series with one label each: recorded vowels, motions, and exercises by sensors on a wrist."""

import numpy as np
import torch

from suite_tasks import sources
from suite_tasks.measures import ACCURACY
from suite_tasks.problem import Finite, Numbers, Problem, Symbols, longest, random_split, standardised

_SEGMENT, _STRIDE = 100, 100  # steps at 50 Hz


def _labelled(name: str, title: str, aeon: str, share: float, classes: int) -> Problem:
    sequences, labels, split = sources.series(aeon)
    split = random_split(split, share, seed=0)
    return Finite(
        name=name,
        title=title,
        inputs=Numbers(sequences[0].shape[1]),
        targets=Symbols(classes),
        length=longest(sequences, split),
        seconds=60,
        measure=ACCURACY,
        sequences=standardised(sequences, split),
        labels=labels,
        split=split,
        group="series",
    )


def vowels() -> Problem:
    return _labelled("vowels", "JapaneseVowels: which of 9 people speaks, 7 to 29 steps", "JapaneseVowels", 0.2, 9)


def gunpoint() -> Problem:
    return _labelled("gunpoint", "GunPoint: draw or point, by the height of a hand, 50 series", "GunPoint", 0.2, 2)


def motions() -> Problem:
    return _labelled("motions", "BasicMotions: stand, walk, run or play, by a watch, 40 series", "BasicMotions", 0.2, 4)


def watch() -> Problem:
    """Segments of two seconds of shoulder exercises; of 10 people two are for validation and two for the test."""
    path = sources.packaged("seglearn", "watch_dataset.npy")[0]
    data = np.load(path, allow_pickle=True).item()  # of the installed package, which is code as well
    sequences, labels, split = [], [], []
    parts = {9: "validation", 10: "validation", 7: "test", 8: "test"}
    for series, label, subject in zip(data["X"], data["y"], data["subject"], strict=True):
        for start in range(0, len(series) - _SEGMENT + 1, _STRIDE):
            sequences.append(torch.from_numpy(np.asarray(series[start : start + _SEGMENT], dtype=np.float64)))
            labels.append(int(label))
            split.append(parts.get(int(subject), "train"))
    return Finite(
        name="watch",
        title="seven exercises by a watch's six sensors, two seconds at a time, of people not seen in training",
        inputs=Numbers(6),
        targets=Symbols(7),
        length=_SEGMENT,
        seconds=60,
        measure=ACCURACY,
        sequences=standardised(sequences, split),
        labels=torch.tensor(labels),
        split=split,
        group="series",
    )
