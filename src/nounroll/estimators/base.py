"""Shared base of the estimators: settings, training, and a network's outputs for ragged sequences."""

import copy
import math
import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.core.batch import Space
from nounroll.core.seeding import generator
from nounroll.data.names import has_names, names_of, numbered
from nounroll.data.numeric import as_array
from nounroll.data.ragged import read
from nounroll.data.sequences import Sequences
from nounroll.estimators.forms import as_sequences, check_like, columns_of, listed
from nounroll.experiments.run import Run, fit

try:
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
except ImportError:
    raise ValueError("the estimators need scikit-learn: pip install 'nounroll[estimators]'") from None

_STEPS = 2**16  # time steps per forward pass
_NAMES = {"inputs": "X", "labels": "y"}  # arguments of ``Sequences`` and of an estimator


class SequenceEstimator(BaseEstimator):
    """Recurrent network with ``fit`` and parameters in scikit-learn's conventions.

    Args:
        method, cell: see ``nounroll.fit``; "auto" chooses by short trials.
        seconds: training time; 60 if ``steps`` is not given either.
        steps: optimiser steps instead of seconds; the result is then reproducible.
        validation: share of the sequences, or of the ``groups`` of ``fit``, that is held out to choose the network.
        student: a trained network to begin with: a ``Student``, its folder, or the folder of a run (see
            ``nounroll.fit``). It is not changed. Leave out ``cell``, because the student has one.
        settings: any other setting of a recipe, by its dotted name.
        inputs_space: space of a step of X, such as a Product of the parts of an event. When None, it is real numbers or
            symbols, by the type of the arrays.
        random_state: seed of the split and of all random choices.
        progress: show a bar on stderr.

    Attributes:
        run_: the result of ``nounroll.fit``.
        student_: the trained network.
        n_features_in_: numbers per step; 1 for symbols.
        feature_names_in_: names of these numbers, if X held data frames with a row for each step.
        symbols_: sorted names of the symbols, if X held names; otherwise None.
    """

    _new_head = False  # whether a given network has other targets than ``fit``

    def __init__(
        self,
        *,
        method: str = "auto",
        cell: Any = "auto",
        seconds: float | None = None,
        steps: int | None = None,
        validation: float = 0.15,
        student: Any = None,
        settings: Mapping[str, Any] | None = None,
        inputs_space: Space | None = None,
        random_state: int = 0,
        progress: bool = False,
    ) -> None:
        self.method, self.cell, self.seconds, self.steps = method, cell, seconds, steps
        self.validation, self.student = validation, student
        self.settings, self.inputs_space = settings, inputs_space
        self.random_state, self.progress = random_state, progress

    def _train(
        self, inputs: list[np.ndarray], parts: list[str], *, inputs_space: Space | None = None, **targets: Any
    ) -> None:
        """Train a network on the sequences with ``labels`` or ``targets`` of ``nounroll.Sequences``."""
        try:
            task = _Known(inputs, split=parts, inputs_space=self.inputs_space or inputs_space, **targets)
        except ValueError as error:
            raise ValueError(re.sub(r"^(inputs|labels)\b", lambda name: _NAMES[name[0]], str(error))) from None
        seconds = 60.0 if self.seconds is None and self.steps is None else self.seconds
        self.run_: Run = fit(
            task,
            method=self.method,
            cell=copy.deepcopy(self.cell),
            student=self.student,
            new=("head",) if self.student is not None and self._new_head else (),
            length=task.length,
            seconds=seconds,
            steps=self.steps,
            seed=self.random_state,
            settings=self.settings,
            progress=self.progress,
        )
        self.student_ = self.run_.student
        self.n_features_in_ = math.prod(task.inputs.event_shape)

    def _read(self, X: Any) -> list[np.ndarray]:
        """Convert the sequences to train on, and learn the names of their symbols."""
        if columns := columns_of("X", X):
            self.feature_names_in_ = np.array(columns, dtype=object)
        else:
            vars(self).pop("feature_names_in_", None)  # of an earlier fit
        named = has_names(values := listed(X))
        self.symbols_: list[str] | None = names_of("X", values) if named else None
        return numbered("X", values, self.symbols_) if self.symbols_ else as_sequences("X", X, self.inputs_space)

    def _inputs(self, X: Any) -> list[np.ndarray]:
        """Check and convert the sequences to predict for.

        Raises:
            NotFittedError: before ``fit``.
            ValueError: they are of another kind than in ``fit``.
        """
        self._check_fitted("sequences and their targets")
        if self.symbols_:
            return numbered("X", listed(X), self.symbols_)
        given, wanted = columns_of("X", X), list(getattr(self, "feature_names_in_", []))
        if given and wanted and given != wanted:
            raise ValueError(f"X has the columns {given}; fit had {wanted}, and they must be the same, in this order")
        arrays = as_sequences("X", X, self.student_.inputs)
        check_like("X", arrays, self.student_.inputs)
        return arrays

    def _check_fitted(self, wanted: str) -> None:
        if not hasattr(self, "student_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit with {wanted} first")

    def _parts(self, count: int, groups: Any, strata: np.ndarray | None = None) -> list[str]:
        """Assign each sequence to train or validation; neither part is empty.

        Args:
            count: number of sequences.
            groups: a value for each sequence; sequences with the same value stay together.
            strata: without groups, a value for each sequence; each value is divided between the parts in proportion, if
                possible.
        """
        check_share("validation", self.validation)
        keys = np.arange(count) if groups is None else as_array(groups)
        if keys.shape[:1] != (count,) or keys.size != count:
            raise ValueError(f"groups has shape {keys.shape}; it must be ({count},), one value for each sequence")
        names, places = distinct("groups", keys)
        if len(names) < 2:
            what = "sequence" if groups is None else "group"
            raise ValueError(f"X holds one {what}; it must hold two or more, one of them to choose the network by")
        order = torch.randperm(len(names), generator=generator(self.random_state, "split")).numpy()
        if strata is not None and groups is None:  # spread each class evenly over the order
            ranks = np.empty(count)
            for value in np.unique(strata):
                mine = order[strata[order] == value]
                ranks[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
            order = order[np.argsort(ranks[order], kind="stable")]
        held = order[: min(max(1, round(self.validation * len(names))), len(names) - 1)]
        return ["validation" if place in held else "train" for place in places]

    @torch.no_grad()
    def _last_outputs(self, arrays: Sequence[np.ndarray]) -> Float[Tensor, "n V"]:
        """Compute the readout after the last step of each sequence."""
        found: dict[int, Tensor] = {}
        for numbers in by_length(arrays):
            lengths = torch.tensor([len(arrays[i]) for i in numbers])
            features, _ = self.student_.features(padded(arrays, numbers))
            outputs = self.student_.head(features[torch.arange(len(numbers)), lengths - 1])
            found |= dict(zip(numbers, outputs, strict=True))
        return torch.stack([found[i] for i in range(len(arrays))])


class _Known(Sequences):
    """Sequences without a test part, because the caller holds one back. The validation part replaces it."""

    def __init__(
        self,
        inputs: list[np.ndarray],
        *,
        split: list[str],
        inputs_space: Space | None = None,
        targets_space: Space | None = None,
        **targets: Any,
    ) -> None:
        first = split.index("validation")  # ``Sequences`` needs three parts; one sequence names the third
        again: dict[str, Any] = {name: [*values, values[first]] for name, values in targets.items()}
        whole = read("X", [*inputs, inputs[first]])
        super().__init__(whole, split=[*split, "test"], inputs_space=inputs_space, targets_space=targets_space, **again)

    def test(self) -> Sequences:
        return self.validation()


def check_share(name: str, value: object) -> None:
    """Raise ValueError unless the value is a number between 0 and 1."""
    if not isinstance(value, Real) or not 0 < float(value) < 1:
        raise ValueError(f"{name} is {value!r}; it must be a share between 0 and 1")


def distinct(name: str, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted different values, and the place of each value among them.

    Raises:
        ValueError: a value is missing, or the values cannot be sorted.
    """
    if any(map(_is_missing, values.tolist())):
        raise ValueError(f"{name} holds None or nan; it must hold a value for each sequence, leave the others out")
    try:
        return np.unique(values, return_inverse=True)
    except TypeError:
        kinds = " and ".join(sorted({type(one).__name__ for one in values.tolist()}))
        raise ValueError(f"{name} holds values of type {kinds}; they must be all names or all numbers") from None


def _is_missing(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA, whose truth is unknown
        return True


def by_length(arrays: Sequence[np.ndarray]) -> list[list[int]]:
    """Group the indices of sequences into batches of similar length with a limited number of steps."""
    order, groups = sorted(range(len(arrays)), key=lambda i: len(arrays[i])), [[]]
    for i in order:
        if groups[-1] and (len(groups[-1]) + 1) * len(arrays[i]) > _STEPS:
            groups.append([])
        groups[-1].append(i)
    return groups


def padded(arrays: Sequence[np.ndarray], numbers: list[int]) -> Tensor:
    """Stack sequences, padded with zeros at the end."""
    tensors = [torch.tensor(arrays[i]) for i in numbers]  # a copy: arrays of bytes are read-only
    kind = torch.float32 if tensors[0].is_floating_point() else torch.int64
    return torch.nn.utils.rnn.pad_sequence([one.to(kind) for one in tensors], batch_first=True)
