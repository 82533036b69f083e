"""Memories of a trained network as features for any scikit-learn estimator."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from nounroll.estimators.base import by_length, padded
from nounroll.estimators.forms import as_sequences, check_like
from nounroll.experiments.warm_start import opened_student
from nounroll.models.student import Student

POOLS = ("last", "mean", "both")


class SequenceFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Transformer of sequences into the memories of a trained network, K d numbers each.

    ::

        features = nounroll.SequenceFeatures("runs/pretrained", pool="both")
        make_pipeline(features, StandardScaler(), LogisticRegression()).fit(X, y)

    The network is not trained, so many heads can share it. To train it too, give it to an estimator:
    ``SequenceClassifier(student=...)``.

    Args:
        student: a ``Student``, its folder, or the folder of a run.
        pool: "last", the memory after the last step; "mean", the mean of the memories after all steps; "both", 2 K d
            numbers.
    """

    def __init__(self, student: Student | str | Path, *, pool: str = "last") -> None:
        self.student, self.pool = student, pool

    def fit(self, X: Any, y: Any = None) -> "SequenceFeatures":
        """Open the network. X is only checked, and y is ignored.

        Raises:
            ValueError: there is no such network or pool, or X is not of the network's kind of inputs.
        """
        if self.pool not in POOLS:
            raise ValueError(f"pool is {self.pool!r}; it must be one of {', '.join(POOLS)}")
        self.student_ = opened_student(self.student)
        self.n_features_in_ = math.prod(self.student_.inputs.event_shape)
        check_like("X", as_sequences("X", X, self.student_.inputs), self.student_.inputs)
        self._n_features_out = math.prod(self.student_.memory_shape) * (1 + (self.pool == "both"))
        return self

    @torch.no_grad()
    def transform(self, X: Any) -> np.ndarray:
        """Compute the features of n sequences, (n, K d) or (n, 2 K d)."""
        if not hasattr(self, "student_"):
            self.fit(X)
        arrays = as_sequences("X", X, self.student_.inputs)
        check_like("X", arrays, self.student_.inputs)
        found: dict[int, np.ndarray] = {}
        for numbers in by_length(arrays):
            lengths = torch.tensor([len(arrays[i]) for i in numbers])
            memories = self.student_.rollout(padded(arrays, numbers))[:, 1:].flatten(2)
            within = (torch.arange(memories.shape[1]) < lengths[:, None])[..., None]
            last = memories[torch.arange(len(numbers)), lengths - 1]
            mean = (memories * within).sum(1) / lengths[:, None]
            pools = {"last": (last,), "mean": (mean,), "both": (last, mean)}[self.pool]
            found |= dict(zip(numbers, torch.cat(pools, dim=1).numpy(), strict=True))
        return np.stack([found[i] for i in range(len(arrays))])
