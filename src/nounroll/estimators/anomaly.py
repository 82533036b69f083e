"""Anomaly scores: the surprise of a sequence under a network trained on usual sequences."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import OutlierMixin

from nounroll.core.batch import Categorical
from nounroll.estimators.base import SequenceEstimator, by_length, check_share, padded
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.report.steps import MOST, steps_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class SequenceAnomaly(OutlierMixin, SequenceEstimator):
    """Recurrent network that predicts each next step. Badly predicted sequences are anomalies.

    ::

        model = nounroll.SequenceAnomaly(seconds=60).fit(X)
        model.surprise(X_new)          # a list of (T_i,) arrays: nats of each step
        model.predict(X_new)           # 1 usual, -1 an anomaly

    Further settings and attributes: see ``nounroll.estimators.base.SequenceEstimator``.

    Args:
        contamination: share of the training sequences that ``predict`` calls anomalies.

    Attributes:
        offset_: the score below which a sequence is an anomaly.
    """

    def __init__(self, *, contamination: float = 0.05, **settings: Any) -> None:
        super().__init__(**settings)
        self.contamination = contamination

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return sorted([*SequenceEstimator._get_param_names(), "contamination"])

    def fit(self, X: Any, y: None = None, groups: Any = None) -> "SequenceAnomaly":
        """Train on n sequences of two or more steps. ``y`` is not read.

        Raises:
            ValueError: a sequence is too short, or ``contamination`` is not between 0 and 1.
        """
        check_share("contamination", self.contamination)
        arrays = self._read(X)
        _check_steps(arrays)
        before, after = [one[:-1] for one in arrays], [one[1:] for one in arrays]
        space = self.inputs_space
        if space is None and arrays[0].ndim == 1:  # some symbols may only be first or last steps
            space = Categorical(1 + max(0, *(int(one.max()) for one in arrays)))
        parts = self._parts(len(arrays), groups)
        self._train(before, parts, inputs_space=space, targets=after, targets_space=space)
        self.offset_ = float(np.quantile(self.score_samples(X), self.contamination))
        return self

    @torch.no_grad()
    def surprise(self, X: Any) -> list[np.ndarray]:
        """Return -log p(x_t | x_0 .. x_{t-1}) in nats, (T_i,) for each sequence; 0 for the first step.

        For real numbers p is a density, so the result may be negative.
        """
        arrays = self._inputs(X)
        _check_steps(arrays)
        found: dict[int, np.ndarray] = {}
        for numbers in by_length(arrays):
            values = padded(arrays, numbers)
            outputs, _ = self.student_.outputs(values[:, :-1])
            nats = negative_log_likelihood(self.student_.targets, outputs, values[:, 1:]).double().numpy()
            for row, i in enumerate(numbers):
                found[i] = np.concatenate([[0.0], nats[row, : len(arrays[i]) - 1]])
        return [found[i] for i in range(len(arrays))]

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the mean log-likelihood per step of each sequence, (n,); lower is less usual."""
        return np.array([-nats[1:].mean() for nats in self.surprise(X)])

    def decision_function(self, X: Any) -> np.ndarray:
        """Return ``score_samples`` minus ``offset_``; below 0 is an anomaly."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for a usual sequence, -1 for an anomaly."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def picture(self, X: Any, names: Sequence[str] | None = None) -> "Figure":
        """Draw the surprise along each of at most six sequences, and mark the most surprising steps.

        Args:
            X: the sequences.
            names: names of the sequences; ``X[0]``, ``X[1]`` ... when left out.

        Raises:
            ValueError: there are too many sequences for a picture, or the numbers of names and sequences differ.
        """
        nats = self.surprise(X)
        if len(nats) > MOST:
            raise ValueError(f"X holds {len(nats)} sequences; a picture has room for {MOST}: give some of them")
        labels = [f"X[{i}]" for i in range(len(nats))] if names is None else list(names)
        if len(labels) != len(nats):
            raise ValueError(f"names has {len(labels)} names; there must be one for each of the {len(nats)} sequences")
        bad = [bool(-one[1:].mean() < self.offset_) for one in nats]
        return steps_picture(labels, nats, -self.offset_, bad).figure


def _check_steps(arrays: list[np.ndarray]) -> None:
    for i, one in enumerate(arrays):
        if len(one) < 2:
            raise ValueError(f"X[{i}] has one step; each sequence must have two or more, to predict the next from")
