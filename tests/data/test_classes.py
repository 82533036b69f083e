"""Classes: their names, their weights, and those that training has none of."""

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.core.batch import Categorical
from nounroll.core.notices import Notice
from nounroll.data.sequences import Sequences
from nounroll.data.task import training_batch

NAMES = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
X = [[float(i), 0.5] for i in range(10)]
Y = ["cat", "dog"] * 5


def test_classes_may_have_names() -> None:
    for form in (Y, np.array(Y), tuple(Y)):
        task = Sequences(X, labels=form, split=NAMES)
        assert task.classes == ["cat", "dog"]
        assert task.targets == Categorical(2)
        assert task.take(torch.arange(6), 2).targets[:, 1].tolist() == [0, 1] * 3
        assert task.speech() == {"classes": ["cat", "dog"]}


def test_held_out_symbols_that_training_lacks_are_said() -> None:
    targets = [[0, 1]] * 9 + [[7, 1]]
    with pytest.warns(Notice, match=r"^targets: the symbols 7 are only in the held-out parts; the network cannot"):
        Sequences(X, targets=targets, split=NAMES)


def epoch(task: Sequences) -> Counter[int]:
    """How often each sequence is read in an epoch."""
    return Counter(int(v) for v in training_batch(task, task.size or 0, 2, 0, 0).inputs[:, 0, 0])


def test_an_epoch_reads_balanced_classes_equally_often() -> None:
    labels = ["a", "b", "b", "b", "b", "c", "a", "b", "b", "c"]
    task = Sequences(X, labels=labels, split=NAMES, weights="balanced")
    assert epoch(task) == {0: 4, 1: 1, 2: 1, 3: 1, 4: 1, 5: 4}
    assert task.validation().size == task.test().size == 2  # measured as they are


@settings(max_examples=30, deadline=None)
@given(weight=st.floats(1, 20))
def test_weights_say_how_often_a_class_is_read(weight: float) -> None:
    found = epoch(Sequences(X, labels=Y, split=NAMES, weights={"cat": weight, "dog": 1}))
    cats = sum(found[i] for i in (0, 2, 4))
    assert [found[i] for i in (1, 3, 5)] == [1, 1, 1]
    assert abs(cats - 3 * weight) < 1
    assert max(found[i] for i in (0, 2, 4)) - min(found[i] for i in (0, 2, 4)) <= 1


def test_weights_may_be_of_numpy_or_a_series() -> None:
    pandas, whole = pytest.importorskip("pandas"), np.array([0, 1] * 5)
    expected = epoch(Sequences(X, labels=whole, split=NAMES, weights={0: 3, 1: 1}))
    for weights in ({np.int64(0): np.float32(3), np.int64(1): np.int64(1)}, pandas.Series([3, 1])):
        assert epoch(Sequences(X, labels=whole, split=NAMES, weights=weights)) == expected


BAD: list[tuple[dict[str, Any], str]] = [
    ({"labels": [3] * 10}, "labels hold only the class 3; there must be two or more"),
    (
        {"labels": [*Y[:9], "emu"]},
        "labels[9] is 'emu', in the test part, and training has no sequence of it; give more of it, leave it out, or"
        " draw another split by seed",
    ),
    (
        {"labels": Y, "weights": {"cat": 1}},
        "weights of class 'dog' is None; there must be a number above 0 for each of",
    ),
    ({"labels": Y, "weights": {"cat": 1, "dog": 0}}, "weights of class 'dog' is 0; there must be a number above 0"),
    ({"labels": Y, "weights": {"cat": 1, "dog": 1, "emu": 1}}, "weights of class 'emu' is 1; there must be a number"),
    ({"labels": Y, "weights": {"cat": 1, "dog": 5000}}, "weights differ by 5,000 times; at most 1,000 is allowed"),
    ({"labels": Y, "weights": np.ones((2, 2))}, "weights is of type ndarray; it must be 'balanced', or a number for"),
    ({"labels": Y, "weights": "even"}, "weights is 'even'; it must be 'balanced', or a number for each class"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[message[:60] for _, message in BAD])
def test_bad_classes_give_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Sequences(X, split=NAMES, **options)
