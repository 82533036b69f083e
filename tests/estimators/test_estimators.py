"""Classifier, regressor and anomaly detector in scikit-learn's conventions."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import nounroll
from nounroll.estimators.base import by_length, padded
from nounroll.estimators.forms import as_sequences

QUICK: dict[str, Any] = {"method": "bptt", "cell": "gru", "settings": {"cell.memory_width": 8}}


def ragged(count: int = 40, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Noise of 5 to 12 steps, whose first coordinate is shifted up or down."""
    draw = np.random.RandomState(seed)
    signs = draw.choice([-1, 1], size=count)
    X = [draw.randn(draw.randint(5, 13), 2) + np.array([sign, 0]) for sign in signs]
    return X, np.where(signs < 0, "low", "high")


def test_the_classifier_tells_classes_by_name() -> None:
    X, y = ragged(120)
    model = nounroll.SequenceClassifier(steps=150, **QUICK).fit(X, y)
    assert list(model.classes_) == ["high", "low"]
    assert model.n_features_in_ == 2
    new, truth = ragged(60, seed=1)
    assert model.score(new, truth) > 0.85
    shares = model.predict_proba(new)
    assert shares.shape == (60, 2)
    np.testing.assert_allclose(shares.sum(1), 1)
    assert (model.classes_[shares.argmax(1)] == model.predict(new)).all()


def test_ragged_sequences_are_predicted_as_each_alone() -> None:
    X, y = ragged()
    model = nounroll.SequenceClassifier(steps=5, **QUICK).fit(X, y)
    together = model.predict_proba(X)
    alone = np.concatenate([model.predict_proba([one]) for one in X])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_what_is_behind_a_sequence_is_not_read() -> None:
    arrays = [np.ones((3, 1)), np.ones((5, 1))]
    assert padded(arrays, [0, 1])[0, 3:].abs().sum() == 0
    assert by_length(arrays) == [[0, 1]]
    assert by_length([np.ones((2**16, 1)), np.ones((4, 1))]) == [[1], [0]]


def test_the_same_steps_and_seed_give_the_same_network() -> None:
    X, y = ragged()
    one, other, third = (
        nounroll.SequenceClassifier(steps=5, random_state=seed, **QUICK).fit(X, y).predict_proba(X)
        for seed in (0, 0, 1)
    )
    assert (one == other).all()
    assert (one != third).any()


def test_the_regressor_tells_numbers_of_any_unit() -> None:
    X, _ = ragged(120)
    y = np.array([2000 + 1000 * one[:, 0].mean() for one in X])
    model = nounroll.SequenceRegressor(steps=300, **QUICK).fit(X, y)
    assert model.score(X, y) > 0.8
    mean, deviation = model.predict(X, return_std=True)
    assert mean.shape == deviation.shape == (120,)
    assert (deviation > 0).all()
    two = nounroll.SequenceRegressor(steps=3, **QUICK).fit(X, np.stack([y, -y], axis=1))
    assert two.predict(X[:4]).shape == (4, 2)


def test_anomalies_are_sequences_that_surprise() -> None:
    draw = np.random.RandomState(0)
    waves = [np.sin(0.7 * np.arange(30) + draw.rand() * 6)[:, None] + 0.01 * draw.randn(30, 1) for _ in range(60)]
    model = nounroll.SequenceAnomaly(steps=200, contamination=0.1, **QUICK).fit(waves)
    broken = [one.copy() for one in waves[:10]]
    for one in broken:
        one[20] += 3
    nats = model.surprise(broken)
    assert [len(one) for one in nats] == [30] * 10
    assert np.mean([int(one.argmax()) in (20, 21) for one in nats]) > 0.8
    assert (model.predict(broken) == -1).mean() > 0.8
    assert (model.predict(waves) == -1).mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("X", [["ababz", "baabz"] * 10, ["zabab", "zbaab"] * 10], ids=["last", "first"])
def test_a_symbol_that_is_only_first_or_last_may_be_anywhere_later(X: list[str]) -> None:
    numbers = [np.array([ord(one) - ord("a") if one < "z" else 2 for one in text]) for text in X]
    model = nounroll.SequenceAnomaly(steps=2, **QUICK)
    by_name = model.fit(X).score_samples(["abzab"])
    by_number = model.fit(numbers).score_samples([np.array([0, 1, 2, 0, 1])])
    assert by_name == by_number
    assert np.isfinite(by_name).all()


def test_symbols_are_classified_and_unknown_ones_refused() -> None:
    draw = np.random.RandomState(0)
    X = [draw.randint(0, 4, size=6) for _ in range(40)]
    model = nounroll.SequenceClassifier(steps=4, **QUICK).fit(X, [one[0] % 2 for one in X])
    assert model.n_features_in_ == 1
    with pytest.raises(ValueError, match=re.escape("X[0] holds a symbol that was not in training; it may be 0 to 3")):
        model.predict([np.array([0, 9])])


def test_a_frame_holds_sequences_in_rows_or_by_its_first_level() -> None:
    pandas = pytest.importorskip("pandas")
    wide = pandas.DataFrame(np.arange(12.0).reshape(3, 4))
    assert [one.shape for one in as_sequences("X", wide)] == [(4, 1)] * 3
    index = pandas.MultiIndex.from_tuples([("b", 0), ("b", 1), ("a", 0)])
    long = pandas.DataFrame({"u": [1.0, 2.0, 3.0], "v": [4.0, 5.0, 6.0]}, index=index)
    first, second = as_sequences("X", long)
    assert first.tolist() == [[1, 4], [2, 5]]
    assert second.tolist() == [[3, 6]]
    long.index = pandas.MultiIndex.from_tuples([("b", 0), ("b", 1), (None, 0)])
    with pytest.raises(ValueError, match="X: row 2 has no value in the first level of the index, which identifies the"):
        as_sequences("X", long)


def test_scikit_learn_clones_searches_and_pipes_it() -> None:
    X, y = ragged(24)
    model = nounroll.SequenceClassifier(steps=2, **QUICK)
    copied = clone(model)
    assert copied.get_params() == model.get_params()
    search = GridSearchCV(model, {"cell": ["gru", "lstm"]}, cv=2).fit(X, y)
    assert search.best_params_["cell"] in ("gru", "lstm")
    assert len(cross_val_score(model, X, y, cv=3)) == 3
    halved = FunctionTransformer(lambda X: [one[::2] for one in X])
    assert make_pipeline(halved, model).fit(X, y).predict(X).shape == (24,)
    anomaly = clone(nounroll.SequenceAnomaly(contamination=0.2, steps=3))
    assert anomaly.get_params()["contamination"] == 0.2


def test_groups_are_not_parted_and_classes_are_in_both_parts() -> None:
    model = nounroll.SequenceClassifier(validation=0.25)
    groups = np.repeat(np.arange(8), 5)
    parts = np.array(model._parts(40, groups))
    assert {len(set(parts[groups == group])) for group in range(8)} == {1}
    assert (parts == "validation").sum() == 10
    for pairs in ([(i // 5, 0) for i in range(40)], groups[:39]):
        with pytest.raises(ValueError, match=r"groups has shape .*; it must be \(40,\), one value for each sequence"):
            model._parts(40, pairs)
    strata = np.array([0] * 36 + [1] * 4)
    parts = np.array(model._parts(40, None, strata))
    assert (parts == "validation").sum() == 10
    assert (parts[strata == 1] == "validation").sum() == 1


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([], [], "X is empty; it must hold at least one sequence"),
        ("abc", [1], "X is a str; it must be a list of (T_i, d) arrays"),
        ([np.ones((3, 2)), np.ones((3, 1))], [0, 1], "X[1] holds 1 numbers a step; X[0] holds 2 numbers a step"),
        ([np.ones((3, 2))] * 3, [0, 1], "y has shape (2,); it must be (3,), one class for each sequence"),
        ([np.ones((3, 2))] * 3, ["a"] * 3, "y holds one class only, 'a'; it must hold two or more"),
        (
            [np.array(["2026"], "M8[Y]")] * 2,
            [0, 1],
            "X[0] holds values of type datetime64[Y]; it must hold whole or real numbers",
        ),
        ([np.array([0.0, np.inf])] * 4, [0, 1] * 2, "X[0][1, 0] is inf; real numbers must be finite"),
        ([np.array([0.0, np.nan])] * 2, [0, 1], "X[0][1] is nan; fill missing values in, or train by nounroll.Seq"),
        ([np.ones(3)] * 2, np.array([1, "a"], object), "y holds values of type int and str; they must be all names or"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(X: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        nounroll.SequenceClassifier(steps=2, **QUICK).fit(X, y)
    assert "\n" not in str(raised.value)


def test_groups_that_hold_back_a_class_or_cannot_be_told_apart_are_one_line() -> None:
    model, X = nounroll.SequenceClassifier(steps=2, **QUICK), [np.ones((3, 2))] * 6
    with pytest.raises(ValueError, match=r"groups holds values of type int and str; they must be all names"):
        model.fit(X, list("aabbcc"), groups=np.array([1, "p"] * 3, dtype=object))
    for missing in (None, float("nan")):
        with pytest.raises(ValueError, match=r"groups holds None or nan; it must hold a value for each sequence"):
            model.fit(X, list("aabbcc"), groups=[missing, 1.0] * 3)
    with pytest.raises(ValueError, match=r"y\[\d\] is [abc], and all sequences of this class are in groups that are"):
        model.fit(X, list("aabbcc"), groups=[0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match=r"y\[\d\] is [a-f], and all sequences of this class are held out to choose"):
        model.fit(X, list("abcdef"))


@pytest.mark.parametrize("share", [None, "0.1", 0, 1])
def test_a_share_that_is_none_is_one_line(share: Any) -> None:
    with pytest.raises(ValueError, match=rf"^validation is {share!r}; it must be a share between 0 and 1$"):
        nounroll.SequenceClassifier().set_params(validation=share).fit([np.ones((3, 2))] * 4, [0, 1] * 2)
    with pytest.raises(ValueError, match=rf"^contamination is {share!r}; it must be a share between 0 and 1$"):
        nounroll.SequenceAnomaly().set_params(contamination=share).fit([np.ones((3, 2))] * 4)


def test_columns_of_frames_are_those_of_fit() -> None:
    pandas = pytest.importorskip("pandas")
    X, y = ragged(12)
    frames = [pandas.DataFrame(one, columns=["a", "b"]) for one in X]
    long = pandas.concat(frames, keys=range(12))
    model = nounroll.SequenceClassifier(steps=1, **QUICK)
    for form, other in ((frames, [one[["b", "a"]] for one in frames]), (long, long[["b", "a"]])):
        assert list(model.fit(form, y).feature_names_in_) == ["a", "b"]
        assert np.array_equal(model.predict_proba(form), model.predict_proba(X))
        with pytest.raises(
            ValueError, match=r"^X has the columns \['b', 'a'\]; fit had \['a', 'b'\], and they must be"
        ):
            model.predict(other)
    with pytest.raises(
        ValueError, match=r"^X\[1\] has the columns \['b', 'a'\]; X\[0\] has \['a', 'b'\], and all must"
    ):
        model.fit([frames[0], frames[1][["b", "a"]], *frames[2:]], y)
    assert not hasattr(model.fit(X, y), "feature_names_in_")


def test_reversed_arrays_and_tensors_with_gradients_are_read() -> None:
    X, y = ragged(12)
    plain = as_sequences("X", [one[::-1].copy() for one in X])
    for form in ([one[::-1] for one in X], [torch.tensor(one).flip(0).requires_grad_() for one in X]):
        found = as_sequences("X", form)
        assert all(map(np.array_equal, found, plain))
        assert torch.equal(padded(found, [0]), padded(plain, [0]))
    nounroll.SequenceRegressor(steps=1, **QUICK).fit(X, torch.ones(12, requires_grad=True))
    nounroll.SequenceClassifier(steps=1, **QUICK).fit(X, torch.tensor(y == "low").bfloat16())


def test_targets_of_another_form_are_named_as_y() -> None:
    X, _ = ragged(10)
    model = nounroll.SequenceRegressor(steps=2, targets_space=nounroll.Count(1), **QUICK)
    with pytest.raises(
        ValueError, match=r"y must be one number, or k numbers, for each sequence \(.*takes targets for"
    ):
        model.fit(X, ["a"] * 10)
    with pytest.raises(ValueError, match=r"y\[0\] holds -1 at index"):
        model.fit(X, -np.ones(10))
    with pytest.raises(ValueError, match=r"y holds real vectors of width 2; Count\(d=1\) has real vectors of width 1$"):
        model.fit(X, np.ones((10, 2)))


def test_a_number_to_predict_that_is_missing_is_named_by_its_place() -> None:
    X, _ = ragged(10)
    model = nounroll.SequenceRegressor(steps=2, **QUICK)
    with pytest.raises(ValueError, match=re.escape("y[3] is nan; it must be finite, leave out sequences without y")):
        model.fit(X, np.where(np.arange(10) == 3, np.nan, 1.5))
    with pytest.raises(ValueError, match=re.escape("y[4, 1] is inf; it must be finite")):
        model.fit(X, np.where(np.arange(20).reshape(10, 2) == 9, np.inf, 1.5))


def test_what_cannot_be_predicted_is_one_line() -> None:
    X, y = ragged(10)
    with pytest.raises(NotFittedError, match="this SequenceClassifier is not fitted yet; call fit with sequences"):
        nounroll.SequenceClassifier().predict(X)
    model = nounroll.SequenceClassifier(steps=2, **QUICK).fit(X, y)
    with pytest.raises(ValueError, match="X holds 3 numbers a step; the estimator was fitted on 2 numbers a step"):
        model.predict(np.ones((2, 5, 3)))
    with pytest.raises(ValueError, match=re.escape("X[0] has one step; each sequence must have two or more")):
        nounroll.SequenceAnomaly(steps=2, **QUICK).fit([np.ones((1, 2))] * 4)


def test_a_module_as_cell_is_not_trained_in_place() -> None:
    from nounroll.cells.gru import GRUCell

    X, y = ragged(10)
    cell = GRUCell(nounroll.Real(2), (1, 8))
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    nounroll.SequenceClassifier(method="bptt", cell=cell, steps=3).fit(X, y)
    assert all(torch.equal(value, before[name]) for name, value in cell.state_dict().items())


def test_texts_and_lists_of_names_are_classified_by_their_names() -> None:
    draw = np.random.RandomState(0)
    texts = ["".join(draw.choice(list("ACGT"), size=draw.randint(4, 9))) for _ in range(80)]
    ends = [one[-1] in "AC" for one in texts]
    model = nounroll.SequenceClassifier(steps=60, **QUICK).fit(texts, ends)
    assert model.symbols_ == ["A", "C", "G", "T"]
    assert model.score(texts, ends) > 0.9
    same = model.predict_proba([list(one) for one in texts[:5]])
    np.testing.assert_array_equal(same, model.predict_proba(texts[:5]))
    with pytest.raises(ValueError, match=r"X\[0\]\[1\] is 'U', a name that is not known"):
        model.predict(["AU"])
    with pytest.raises(ValueError, match=r"X\[0\]\[0\] is 1; other steps hold names"):
        model.predict([[1, 2]])
    assert nounroll.SequenceAnomaly(steps=2, **QUICK).fit(texts).predict(["ACGT"]).shape == (1,)
