"""Estimators of sequences in a space that the user names."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import nounroll
from nounroll import Categorical, Count, Positive, Product

SMALL = {"cell.memory_width": 8, "training.evaluations": 1, "training.learning_rate": 1e-2}
QUICK: dict[str, Any] = {"method": "bptt", "cell": "gru", "settings": SMALL, "random_state": 0}
EVENT = Product(kind=Categorical(3), gap=Positive(1))


def events(count: int, rate: float, seed: int) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(6, 12, count)
    return [np.stack([draw.integers(0, 3, n), draw.exponential(1 / rate, n) + 1e-3], 1) for n in lengths]


def test_events_are_classified() -> None:
    X, y = events(30, 1.0, 0) + events(30, 20.0, 1), ["slow"] * 30 + ["fast"] * 30
    model = clone(nounroll.SequenceClassifier(steps=60, inputs_space=EVENT, **QUICK))
    assert model.get_params()["inputs_space"] == EVENT
    model.fit(X, y)
    assert model.student_.inputs == EVENT
    assert model.score(events(20, 1.0, 2) + events(20, 20.0, 3), ["slow"] * 20 + ["fast"] * 20) > 0.8


def test_the_surprise_of_events_is_that_of_their_distribution() -> None:
    model = nounroll.SequenceAnomaly(steps=60, inputs_space=EVENT, **QUICK).fit(events(40, 1.0, 0))
    assert model.student_.targets == EVENT
    odd = events(1, 1.0, 5)[0]
    odd[3, 1] = 1000.0
    nats = model.surprise([odd])[0]
    assert nats.argmax() == 3
    assert nats[3] > 5


def test_counts_are_regressed_with_their_deviation() -> None:
    draw = np.random.default_rng(0)
    rates = draw.uniform(1, 30, 120)
    X, y = [np.full((2, 1), rate) for rate in rates], draw.poisson(rates)
    model = clone(nounroll.SequenceRegressor(steps=80, targets_space=Count(1), **QUICK)).fit(X, y)
    mean, deviation = model.predict(X, return_std=True)
    assert mean.shape == deviation.shape == (120,)
    assert np.corrcoef(mean, rates)[0, 1] > 0.9
    high = rates > 15
    assert 2 < deviation[high].mean() < 12  # about the root of the mean, and a draw is a whole number
    again = model.predict(X, return_std=True)[1]
    assert np.array_equal(deviation, again)


def test_whole_numbers_of_a_space_of_numbers_are_no_symbols() -> None:
    draw = np.random.default_rng(0)
    X = [draw.poisson(9, n) for n in (3, 5, 4, 6) * 3]
    fitted = []
    for kind in (np.int64, np.float64):
        model = nounroll.SequenceRegressor(steps=2, inputs_space=Count(1), **QUICK)
        model.fit([one.astype(kind) for one in X], range(12))
        assert model.student_.inputs == Count(1)
        fitted.extend([model.predict([one.astype(form) for one in X]) for form in (np.int64, np.float64)])
    assert np.ptp(np.stack(fitted), axis=0).max() == 0
    features = nounroll.SequenceFeatures(model.student_)
    assert np.array_equal(features.transform(X), features.transform([one.astype(float) for one in X]))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda X: nounroll.SequenceAnomaly(steps=1, inputs_space=EVENT).fit(X), "X[1] holds 7 at index (0, 0)"),
        (
            lambda X: nounroll.SequenceClassifier(steps=1, inputs_space=Categorical(3)).fit(X, [0, 1] * 5),
            "X holds real vectors of width 2; Categorical(n=3) has whole numbers",
        ),
        (
            lambda X: nounroll.SequenceRegressor(steps=1, targets_space=Count(1)).fit(X, [0.5] * 10),
            "y[0] holds 0.5 at index",
        ),
    ],
    ids=["a kind too many", "symbols", "no count"],
)
def test_what_is_not_of_the_space_is_one_line(make: Any, said: str) -> None:
    X = events(10, 1.0, 0)
    X[1][0, 0] = 7
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        make(X)
    assert said in str(error.value)


def test_what_is_predicted_for_must_be_of_the_space_too() -> None:
    model = nounroll.SequenceAnomaly(steps=1, inputs_space=EVENT, **QUICK).fit(events(10, 1.0, 0))
    bad = events(2, 1.0, 1)
    bad[1][2, 1] = 0.0
    with pytest.raises(ValueError, match=r"X\[1\] holds 0 at index \(2, 1\)"):
        model.surprise(bad)


def test_a_forecaster_reads_numbers() -> None:
    import pandas as pd

    frame = pd.DataFrame({"unique_id": "a", "ds": range(40), "y": np.arange(40.0)})
    with pytest.raises(ValueError, match="a forecaster reads numbers, leave it out"):
        nounroll.Forecaster(2, steps=1, inputs_space=EVENT).fit(frame)
    assert "inputs_space" not in nounroll.Forecaster(2).get_params()
