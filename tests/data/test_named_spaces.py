"""Sequences of a space that the user names, and weights of classes at each step."""

from typing import Any

import numpy as np
import pytest
import torch

import nounroll
from nounroll import Bits, Categorical, Count, Positive, Product, Real, Sequences
from nounroll.objectives.readout import negative_log_likelihood, readout_loss

SMALL = {"cell.memory_width": 8, "training.evaluations": 1}
EVENT = Product(kind=Categorical(3), gap=Positive(1))


def events(count: int = 12) -> list[np.ndarray]:
    """Sequence i has i + 3 events."""
    draw = np.random.default_rng(0)
    return [np.stack([draw.integers(0, 3, n), draw.exponential(size=n) + 0.01], 1) for n in range(3, count + 3)]


def test_events_are_read_and_predicted_in_their_space() -> None:
    streams = events()
    task = Sequences(
        [one[:-1] for one in streams], targets=[one[1:] for one in streams], inputs_space=EVENT, targets_space=EVENT
    )
    assert (task.inputs, task.targets) == (EVENT, EVENT)
    batch = task.take(torch.arange(3), 20)
    batch.check("batch", EVENT, EVENT, 3, 20)  # padding is of the space too, in which no gap is 0
    run = nounroll.fit(task, method="bptt", cell="gru", steps=1, settings={"training.evaluations": 1})
    assert {"kind.accuracy", "gap.loss"} <= set(run.metrics)


@pytest.mark.parametrize(
    ("space", "values"),
    [(Count(1), [3, 0, 7]), (Positive(2), [[1, 2], [3, 1], [2, 2]]), (Categorical(9), [1, 0, 2]), (Bits(1), [0, 0, 0])],
    ids=lambda one: str(one),
)
def test_labels_and_steps_are_of_the_space_that_is_named(space: Any, values: list[Any]) -> None:
    inputs = [np.random.default_rng(i).normal(size=(5, 2)) for i in range(3)]
    parts = ["train", "validation", "test"]
    labels = values if space.dtype.is_floating_point else [1, 1, 1]
    if space.dtype.is_floating_point:
        task = Sequences(inputs, labels=labels, targets_space=space, split=parts)
        assert task.targets == space
    steps = [np.array([one] * 5) for one in values]
    task = Sequences(inputs, targets=steps, targets_space=space, split=parts)
    assert task.targets == space
    assert task.take(torch.arange(1), 5).targets.dtype == space.dtype


def test_steps_without_a_target_are_not_of_the_space_and_not_scored() -> None:
    gaps = [np.array([[1.0], [np.nan], [2.0]]) for _ in range(3)]
    task = Sequences(
        [np.ones((3, 1)) * i for i in range(3)],
        targets=gaps,
        targets_space=Positive(1),
        split=["train", "validation", "test"],
    )
    assert task.take(torch.arange(1), 3).mask.tolist() == [[True, False, True]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"targets_space": Real(2)}, "targets holds real vectors of width 1; Real(d=2) has real vectors of width 2"),
        ({"targets_space": Categorical(4)}, "real vectors of width 1; Categorical(n=4) has whole numbers"),
        ({"targets_space": Positive(1)}, "targets[1] holds -1 at index (2, 0); "),
        ({"inputs_space": Positive(1)}, "inputs[0] holds 0 at index (0, 0); "),
        ({"inputs_space": Real(1), "static": np.zeros((3, 1))}, "static is set with inputs_space"),
        ({"targets_space": Real(1), "weights": "balanced"}, "weights is set, and targets are of Real(d=1)"),
    ],
    ids=str,
)
def test_what_is_not_of_the_space_is_one_line(options: dict[str, Any], said: str) -> None:
    inputs = [np.full((4, 1), float(i)) for i in range(3)]
    targets = [np.array([[1.0], [2.0], [-1.0 if i else 3.0], [np.nan]]) for i in range(3)]
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        Sequences(inputs, targets=targets, split=["train", "validation", "test"], **options)
    assert said in str(error.value)


def steps(**options: Any) -> Sequences:
    """Symbol 0 at nine of ten steps."""
    symbols = [(np.arange(20) % 10 == 9).astype(int) for _ in range(10)]
    return Sequences(symbols, targets=symbols, **options)


def test_balanced_steps_count_as_much_for_each_class() -> None:
    weights = steps(weights="balanced").targets.weights
    assert weights == pytest.approx([10 / 18, 5.0])
    given = steps(weights={0: 1.0, 1: 3.0}).targets.weights
    assert given[1] == pytest.approx(3 * given[0])
    assert 0.9 * given[0] + 0.1 * given[1] == pytest.approx(1.0)
    space = Categorical(2, (1.0, 4.0))
    assert steps(targets_space=space).targets.weights == (1.0, 4.0)


def test_weights_count_in_training_and_not_in_what_is_measured() -> None:
    plain, weighted = Categorical(2), Categorical(2, (1.0, 3.0))
    assert plain == weighted  # elements are the same
    outputs, y = torch.randn(4, 5, 2), torch.randint(2, (4, 5))
    losses = negative_log_likelihood(plain, outputs, y)
    mask = torch.rand(4, 5) < 0.7
    expected = (losses * (1 + 2 * y))[mask].sum() / mask.sum()
    assert readout_loss(lambda f: f, weighted, outputs, y, mask) == pytest.approx(float(expected))
    assert torch.equal(negative_log_likelihood(weighted, outputs, y), losses)


@pytest.mark.parametrize("method", ["bptt", "tbptt", pytest.param("smt+dmt", marks=pytest.mark.nightly)])
def test_a_weighted_class_is_told_more_often(method: str) -> None:
    """Noise, of which one in ten is 1: what counts as much as the rest is told in about half of the steps."""
    draw = np.random.default_rng(0)
    noise = [draw.integers(0, 4, 16) for _ in range(60)]
    targets = [(draw.random(16) < 0.1).astype(int) for _ in range(60)]
    told = {}
    for weights in (None, "balanced"):
        task = Sequences(noise, targets=targets, weights=weights)
        run = nounroll.fit(task, method=method, cell="gru", steps=30, settings=SMALL)
        outputs, _ = run.student(task.take(torch.arange(40), 16).inputs)
        told[weights] = float(outputs.detach().softmax(-1)[..., 1].mean())
        assert run.student.targets.weights == task.targets.weights
    assert told[None] < 0.3 < told["balanced"]


def test_weights_are_kept_in_files_only_where_they_are() -> None:
    assert Categorical(3).to_json() == {"n": 3}
    again = Categorical.from_json(Categorical(2, (1, 2)).to_json())
    assert again.weights == (1.0, 2.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", [np.array, torch.tensor, lambda values: list(np.array(values, dtype="f4"))])
def test_weights_may_be_of_numpy_or_a_tensor(form: Any) -> None:
    assert Categorical(2, form([1.0, 2.0])).weights == (1.0, 2.0)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, float("inf"))], ids=str)
def test_weights_that_cannot_be_are_one_line(weights: Any) -> None:
    with pytest.raises(ValueError, match=r"^Categorical\.weights is .*; it must hold a number above 0 for each of"):
        Categorical(2, weights)
    with pytest.raises(ValueError, match=r"Product\.kind is Categorical\(n=2\) with weights"):
        Product(kind=Categorical(2, (1.0, 2.0)))
