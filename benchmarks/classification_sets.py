"""Labelled series of the classification benchmark: training and test parts, as arrays.

The sets of the package aeon have their official parts. The smartwatch exercises of the package seglearn (ten people)
are cut into windows of four seconds, and each seed tests on people of its own whom training never saw: seed s on those
whose number leaves s modulo 3.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from suite_tasks import sources
from suite_tasks.measures import ACCURACY
from suite_tasks.problem import Finite, Numbers, Symbols, standardised
from torch import Tensor

VALIDATION = 0.15  # share of the training sequences by which a network is chosen: the estimator's own default
_WINDOW, _STRIDE, _PAIR = 200, 100, 2  # steps at 50 Hz; pairs are averaged
_FOLDS = 3


@dataclass(frozen=True)
class Labelled:
    """A classification set.

    Attributes:
        title: one line about it.
        train, test: series (T_i, d).
        y_train, y_test: class numbers.
        groups: of each training series, where some belong together: who was recorded.
        asked: accuracy to reach, where one is asked for.
    """

    title: str
    train: list[np.ndarray]
    y_train: np.ndarray
    test: list[np.ndarray]
    y_test: np.ndarray
    groups: np.ndarray | None = None
    asked: float | None = None

    def problem(self, seed: int) -> Finite:
        """The same parts for a plain network: its validation part is drawn from the training series."""
        held = held_out(self.y_train, self.groups, seed)
        split = [("validation" if one else "train") for one in held] + ["test"] * len(self.test)
        sequences = [torch.from_numpy(one) for one in (*self.train, *self.test)]
        labels = torch.from_numpy(np.concatenate([self.y_train, self.y_test]))
        return Finite(
            name="classification",
            title=self.title,
            inputs=Numbers(sequences[0].shape[1]),
            targets=Symbols(int(labels.max()) + 1),
            length=max(map(len, self.train)),
            seconds=0,
            measure=ACCURACY,
            sequences=standardised(sequences, split),
            labels=labels,
            split=split,
        )


def held_out(labels: np.ndarray, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """True where a training series is for validation: a share of each class, or whole groups."""
    draw = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=bool)
    if groups is not None:
        names = np.unique(groups)
        chosen = draw.permutation(names)[: max(1, round(VALIDATION * len(names)))]
        return np.isin(groups, chosen)
    for label in np.unique(labels):
        rows = draw.permutation(np.flatnonzero(labels == label))
        held[rows[: max(1, round(VALIDATION * len(rows)))]] = True
    return held


def _packaged(name: str, title: str, asked: float | None) -> Callable[[int], Labelled]:
    def read(seed: int) -> Labelled:
        sequences, labels, split = sources.series(name)
        parts = {part: [i for i, one in enumerate(split) if one == part] for part in ("train", "test")}
        arrays = {part: [_array(sequences[i]) for i in rows] for part, rows in parts.items()}
        y = {part: labels[rows].numpy() for part, rows in parts.items()}
        return Labelled(title, arrays["train"], y["train"], arrays["test"], y["test"], asked=asked)

    return read


def _array(series: Tensor) -> np.ndarray:
    return np.ascontiguousarray(series.numpy())


def _smartwatch(seed: int) -> Labelled:
    path = sources.packaged("seglearn", "watch_dataset.npy")[0]
    data = np.load(path, allow_pickle=True).item()  # of the installed package, which is code as well
    windows, labels, people = [], [], []
    for series, label, person in zip(data["X"], data["y"], data["subject"], strict=True):
        for start in range(0, len(series) - _WINDOW + 1, _STRIDE):
            window = np.asarray(series[start : start + _WINDOW], dtype=np.float64)
            windows.append(window.reshape(_WINDOW // _PAIR, _PAIR, -1).mean(axis=1))
            labels.append(int(label))
            people.append(int(person))
    y, groups = np.array(labels), np.array(people)
    test = groups % _FOLDS == seed % _FOLDS
    return Labelled(
        "seven exercises by a watch's six sensors, four seconds at a time, of people not seen in training",
        [one for one, held in zip(windows, test, strict=True) if not held],
        y[~test],
        [one for one, held in zip(windows, test, strict=True) if held],
        y[test],
        groups[~test],
        asked=0.889,
    )


SETS: dict[str, Callable[[int], Labelled]] = {  # by seed
    "vowels": _packaged("JapaneseVowels", "JapaneseVowels: which of 9 people speaks, 7 to 29 steps", 0.97),
    "gunpoint": _packaged("GunPoint", "GunPoint: draw or point, by the height of a hand, 150 steps", 0.97),
    "motions": _packaged("BasicMotions", "BasicMotions: stand, walk, run or play, by a watch, 100 steps", 0.97),
    "power": _packaged("ItalyPowerDemand", "ItalyPowerDemand: winter or summer, by a day's 24 hours of power", 0.96),
    "arrowheads": _packaged("ArrowHead", "ArrowHead: which of 3 kinds, by the outline, 251 steps", None),
    "gestures": _packaged("PickupGestureWiimoteZ", "PickupGestureWiimoteZ: one of 10 gestures, 29 to 361 steps", None),
    "smartwatch": _smartwatch,
}
