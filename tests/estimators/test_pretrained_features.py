"""A trained network in scikit-learn's conventions: its memories as features, and as a beginning for estimators."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import nounroll
from nounroll.models.student import Student

SHORT = {"training.batch_size": 16, "training.curriculum": 0, "training.evaluations": 2, "training.vary": 0.0}


def waves(count: int = 40, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Noise of 5 to 12 steps, whose first coordinate is shifted up or down."""
    draw = np.random.RandomState(seed)
    signs = draw.choice([-1, 1], size=count)
    return [draw.randn(draw.randint(5, 13), 2) + np.array([sign, 0]) for sign in signs], signs


@pytest.fixture(scope="module")
def student() -> Student:
    X, _ = waves()
    task = nounroll.Sequences(inputs=[one[:-1] for one in X], targets=[one[1:] for one in X])
    return nounroll.fit(task, method="bptt", cell="gru", steps=20, settings=SHORT).student


@pytest.mark.parametrize("pool", ["last", "mean", "both"])
def test_features_are_the_memories_of_each_sequence_alone(student: Student, pool: str) -> None:
    X, _ = waves()
    found = nounroll.SequenceFeatures(student, pool=pool).fit_transform(X)
    for row, one in zip(found, X, strict=True):
        memories = student.rollout(torch.tensor(one, dtype=torch.float32)[None])[0, 1:].flatten(1)
        wanted = {"last": memories[-1], "mean": memories.mean(0), "both": torch.cat([memories[-1], memories.mean(0)])}
        np.testing.assert_allclose(row, wanted[pool].detach(), atol=1e-5)


@pytest.mark.parametrize("pool", ["last", "both"])
def test_features_have_names(student: Student, pool: str) -> None:
    X, _ = waves()
    features = nounroll.SequenceFeatures(student, pool=pool)
    found = features.fit_transform(X)
    names = features.get_feature_names_out()
    assert names[0] == "sequencefeatures0"
    assert len(set(names)) == found.shape[1]
    pytest.importorskip("pandas")
    assert list(features.set_output(transform="pandas").transform(X).columns) == list(names)


def test_features_work_in_a_pipeline_and_do_not_change_the_network(student: Student, tmp_path: Path) -> None:
    student.save_pretrained(tmp_path / "student")
    before = {name: weight.clone() for name, weight in student.state_dict().items()}
    X, y = waves(120)
    model = make_pipeline(clone(nounroll.SequenceFeatures(tmp_path / "student", pool="mean")), LogisticRegression())
    assert model.fit(X, y).score(*waves(60, seed=1)) > 0.8
    assert all(torch.equal(weight, before[name]) for name, weight in student.state_dict().items())


def test_a_classifier_begins_with_a_trained_network(student: Student) -> None:
    X, y = waves()
    model = nounroll.SequenceClassifier(student=student, method="bptt", steps=1, settings=SHORT).fit(X, y)
    assert type(model.student_.cell) is type(student.cell)
    fresh = nounroll.SequenceClassifier(cell="gru", method="bptt", steps=1, settings=SHORT).fit(X, y)

    def distance(other: Student) -> float:
        weights = zip(other.cell.parameters(), student.cell.parameters(), strict=True)
        return sum(float((one - two).detach().abs().sum()) for one, two in weights)

    assert distance(model.student_) < 0.1 * distance(fresh.student_)
    again = clone(nounroll.SequenceClassifier(student=student))
    assert isinstance(again.student, Student)


def test_errors_name_the_setting(student: Student, tmp_path: Path) -> None:
    X, _ = waves()
    with pytest.raises(ValueError, match=r"^pool is 'first'; it must be one of last, mean, both$"):
        nounroll.SequenceFeatures(student, pool="first").fit(X)
    with pytest.raises(ValueError, match="nothing-here"):
        nounroll.SequenceFeatures(tmp_path / "nothing-here").fit(X)
    with pytest.raises(ValueError, match="X"):
        nounroll.SequenceFeatures(student).fit([one[:, :1] for one in X])


def test_a_regressor_begins_with_a_network_of_another_unit(student: Student) -> None:
    X, y = waves(120)
    far = 5000 + 1000 * y
    model = nounroll.SequenceRegressor(student=student, method="bptt", steps=100, settings=SHORT).fit(X, far)
    assert model.score(X, far) > 0.3


def test_classes_that_are_missing_are_refused() -> None:
    X, y = waves()
    pandas = pytest.importorskip("pandas")
    for missing in (np.where(np.arange(len(y)) == 3, np.nan, y), [None, *y[1:]], [pandas.NA, *y[1:]]):
        with pytest.raises(ValueError, match=r"^y holds None or nan"):
            nounroll.SequenceClassifier(steps=1).fit(X, missing)
