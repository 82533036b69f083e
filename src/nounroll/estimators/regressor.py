"""Regressor of one or more numbers for each sequence."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import RegressorMixin
from torch import Tensor

from nounroll.core.batch import Space
from nounroll.core.seeding import generator
from nounroll.data.numeric import as_array
from nounroll.estimators.base import SequenceEstimator

_DRAWS, _AT_ONCE = 1000, 50  # draws of each row for a standard deviation; draws at once


class SequenceRegressor(RegressorMixin, SequenceEstimator):
    """Recurrent network that predicts one or more numbers after the last step of a sequence.

    ::

        model = nounroll.SequenceRegressor(seconds=60).fit(X, y)
        model.predict(X_new), model.score(X_new, y_new)                          # score: R squared
        mean, deviation = model.predict(X_new, return_std=True)

    Further settings and attributes: see ``nounroll.estimators.base.SequenceEstimator``.

    Args:
        targets_space: space of y, such as ``Count(1)`` or ``Positive(1)``. When None: real numbers, or bits if all are
            0 or 1.
    """

    _new_head = True

    def __init__(self, *, targets_space: Space | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.targets_space = targets_space

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return sorted([*SequenceEstimator._get_param_names(), "targets_space"])

    def fit(self, X: Any, y: Any, groups: Any = None) -> "SequenceRegressor":
        """Train on n sequences and their numbers.

        Args:
            X, groups: see ``SequenceClassifier.fit``.
            y: (n,) or (n, k) real numbers in any unit.

        Raises:
            ValueError: X and y do not fit each other, or a number is not finite.
        """
        arrays = self._read(X)
        try:
            numbers = np.asarray(as_array(y), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"y must be one number, or k numbers, for each sequence ({' '.join(str(error).split())});"
                " nounroll.Sequences takes targets for each step"
            ) from None
        if numbers.ndim not in (1, 2) or len(numbers) != len(arrays):
            raise ValueError(f"y has shape {numbers.shape}; it must be ({len(arrays)},) or ({len(arrays)}, k)")
        bad = np.argwhere(~np.isfinite(numbers))
        if len(bad):
            place = tuple(bad[0].tolist())
            raise ValueError(
                f"y[{', '.join(map(str, place))}] is {numbers[place]}; it must be finite, leave out sequences without y"
            )
        self._flat = numbers.ndim == 1
        labels = numbers.reshape(len(arrays), -1)
        self._train(arrays, self._parts(len(arrays), groups), labels=labels, targets_space=self.targets_space)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the mean for each sequence, in the shape of ``y``; with ``return_std`` also the standard deviation.

        If all y were 0 or 1, the mean is the probability of a 1. With ``targets_space``, the standard deviation is
        estimated from 1000 draws.
        """
        outputs, space = self._last_outputs(self._inputs(X)).double(), self.student_.targets
        mean = space.mean(outputs)
        if self.targets_space is not None:
            deviation = self._drawn_deviation(outputs) if return_std else mean
        else:
            deviation = (mean * (1 - mean)).sqrt() if space.discrete else outputs.chunk(2, dim=-1)[1].exp()
        found = [part[:, 0].numpy() if self._flat else part.numpy() for part in (mean, deviation)]
        return tuple(found) if return_std else found[0]

    def _drawn_deviation(self, outputs: Float[Tensor, "n V"]) -> Float[Tensor, "n k"]:
        source, space = generator(self.random_state, "deviation"), self.student_.targets
        drawn = [space.sample(outputs.repeat(_AT_ONCE, 1), source) for _ in range(_DRAWS // _AT_ONCE)]
        return torch.cat(drawn).double().unflatten(0, (_DRAWS, len(outputs))).std(0)
