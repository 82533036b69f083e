"""Classifier of sequences."""

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin

from nounroll.data.numeric import as_array
from nounroll.estimators.base import SequenceEstimator, distinct
from nounroll.report.classes import MOST, classes_picture, confusion

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """Recurrent network that predicts the class of a sequence after its last step.

    ::

        model = nounroll.SequenceClassifier(seconds=60).fit(X, y)
        model.predict(X_new), model.predict_proba(X_new), model.score(X_new, y_new)

    Settings and further attributes: see ``nounroll.estimators.base.SequenceEstimator``.

    Attributes:
        classes_: the classes, sorted; columns of ``predict_proba``.
    """

    _new_head = True

    def fit(self, X: Any, y: Any, groups: Any = None) -> "SequenceClassifier":
        """Train on n sequences and their classes.

        Args:
            X: a list of (T_i, d) arrays, an array (n, T) or (n, T, d), or a data frame (see
                ``nounroll.estimators.forms``). One array (T_i,) of whole numbers holds symbols. So does a text, whose
                characters are symbols, or a list of names.
            y: n classes, numbers or names.
            groups: n values. Sequences with the same value (of one person, say) are in the same part.

        Raises:
            ValueError: X and y do not fit each other, or there is only one class.
        """
        arrays, classes = self._read(X), as_array(y)
        if classes.shape != (len(arrays),):
            raise ValueError(f"y has shape {classes.shape}; it must be ({len(arrays)},), one class for each sequence")
        self.classes_, codes = distinct("y", classes)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class only, {self.classes_.tolist()[0]!r}; it must hold two or more")
        parts = self._parts(len(arrays), groups, codes)
        unseen = np.flatnonzero(~np.isin(codes, codes[np.array(parts) == "train"]))
        if len(unseen):
            i, what = int(unseen[0]), "sequences" if groups is None else "groups"
            held = "held out to choose the network" if groups is None else "in groups that are held out"
            raise ValueError(
                f"y[{i}] is {classes[i]!s}, and all sequences of this class are {held}; give more {what} of it, or"
                " another random_state"
            )
        self._train(arrays, parts, labels=codes)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n, classes)."""
        outputs = self._last_outputs(self._inputs(X))
        return outputs[:, : len(self.classes_)].double().softmax(dim=-1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each sequence, (n,)."""
        shares = self.predict_proba(X)
        return self.classes_[shares.argmax(axis=1)]

    def picture(self, X: Any, y: Any) -> "Figure":
        """Draw the confusion matrix of labelled sequences, and precision, recall and F1 of each class.

        Raises:
            ValueError: y has a class that was not in training, or there are too many classes for a picture.
        """
        if len(self.classes_) > MOST:
            raise ValueError(f"there are {len(self.classes_)} classes; a picture has room for {MOST}")
        told, given = self.predict(X), as_array(y)
        if given.shape != told.shape:
            raise ValueError(f"y has shape {given.shape}; it must be {told.shape}, one class for each sequence")
        unknown = np.flatnonzero(~np.isin(given, self.classes_))
        if len(unknown):
            i = int(unknown[0])
            raise ValueError(
                f"y[{i}] is {given[i]!s}, a class that was not in training; leave it out, or train with it"
            )
        places = [np.searchsorted(self.classes_, values) for values in (given, told)]
        counts = confusion(*places, classes=len(self.classes_))
        return classes_picture(counts, [str(name) for name in self.classes_]).figure
