"""Classification: confusion matrix, and precision, recall and F1 of each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from nounroll.report.style import STUDENT, TBPTT, TEACHER, Picture, panels, styled

MOST = 30  # classes in a picture, at most
_NUMBERED = 12  # classes up to which cells show their counts
_SCORES = ("precision", "recall", "F1")


def confusion(truth: Int[np.ndarray, "n"], told: Int[np.ndarray, "n"], classes: int) -> Int[np.ndarray, "C C"]:
    """Count the sequences of each class (row) by predicted class (column)."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (truth, told), 1)
    return counts


def class_scores(counts: Int[np.ndarray, "C C"]) -> Float[np.ndarray, "C 3"]:
    """Compute precision, recall and F1 of each class; nan for a division by 0."""
    hits, true, told = np.diag(counts).astype(float), counts.sum(1).astype(float), counts.sum(0).astype(float)
    pairs = ((hits, told), (hits, true), (2 * hits, true + told))
    return np.stack([np.divide(a, b, out=np.full(len(hits), np.nan), where=b > 0) for a, b in pairs], axis=1)


def classes_picture(counts: Int[np.ndarray, "C C"], names: Sequence[str]) -> Picture:
    """Draw the confusion matrix and the scores of each class.

    Args:
        counts: result of ``confusion`` for at most ``MOST`` classes.
        names: names of the classes.
    """
    scores = class_scores(counts)
    with styled():
        figure, (left, right) = panels(2, height=max(3.0, 1.4 + 0.22 * len(names)), width_ratios=(1.15, 1))
        _matrix(left, counts, names)
        places = np.arange(len(names))
        for i, (score, colour) in enumerate(zip(_SCORES, (TEACHER, TBPTT, STUDENT), strict=True)):
            right.barh(places + 0.26 * (i - 1), scores[:, i], height=0.24, color=colour, label=score)
        right.set_yticks(places, names)
        right.invert_yaxis()
        right.set(xlim=(0, 1), title="scores of each class")
        right.grid(axis="y", visible=False)
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=len(_SCORES))
    right_ones, total = int(np.trace(counts)), int(counts.sum())
    caption = (
        f"{right_ones:,} of {total:,} sequences, {right_ones / total:.1%}, are classified correctly, those on the"
        " diagonal. A row is the true class, a column the predicted class. Precision is the share of correct"
        " predictions of a class, recall the share of a class that is found."
    )
    return Picture("classes", "Classes", caption, figure)


def _matrix(ax: Any, counts: Int[np.ndarray, "C C"], names: Sequence[str]) -> None:
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= _NUMBERED:
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] > 0.5 else "#57606a"
            ax.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=8)
    turned = {} if max(map(len, names)) <= 3 else {"rotation": 45, "ha": "right"}
    ax.set_xticks(range(len(names)), names, **turned)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="told to be", ylabel="is", title="how many of each")
    ax.grid(visible=False)
