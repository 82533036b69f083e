"""Missing values, what is known ahead, and what holds for a whole sequence: what the network reads of them."""

import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from helpers import make_student
from nounroll.core.batch import Batch, Categorical, Real
from nounroll.core.notices import Notice
from nounroll.data import features, ragged
from nounroll.data.sequences import Sequences

NAMES = ["train", "train", "validation", "test"]
NAN = float("nan")
X = [[1.0, NAN, 3.0], [NAN, 5.0], [NAN, 7.0, NAN, NAN], [2.0, 2.0]]
FLAGGED = [  # the value before it, or the training part's mean 3, and whether it is missing
    [[1, 0], [1, 1], [3, 0]],
    [[3, 1], [5, 0]],
    [[3, 1], [7, 0], [7, 1], [7, 1]],
    [[2, 0], [2, 0]],
]


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        yield


def task(inputs: Any, **options: Any) -> Sequences:
    return Sequences(inputs, **{"labels": [0, 1, 0, 1], "split": NAMES, **options})


def read(task: Sequences) -> list[list[Any]]:
    """The inputs of each sequence."""
    return [one.tolist() for one in task._inputs.split()]


def test_a_missing_value_repeats_the_previous_value_and_has_a_flag() -> None:
    found = task(X)
    assert found.inputs == Real(2)
    assert read(found) == FLAGGED


def test_columns_without_gaps_have_no_flag() -> None:
    found = task([np.stack([np.ones(len(x)), x], 1) for x in X])
    assert read(found) == [[[1, *step] for step in x] for x in FLAGGED]
    assert task([np.nan_to_num(np.array(x)) for x in X]).inputs == Real(1)


def test_a_mask_and_nan_say_the_same() -> None:
    observed = [~np.isnan(np.array(x)) for x in X]
    filled = [np.nan_to_num(np.array(x), nan=99.0) for x in X]
    assert read(task(filled, observed=observed)) == FLAGGED
    assert read(task(filled, observed=[mask[:, None] for mask in observed])) == FLAGGED


def check_masked_values_are_not_read() -> None:
    """Two data sets that differ where nothing was observed are one to the network."""
    observed = [~np.isnan(np.array(x)) for x in X]
    one, other = (task([np.nan_to_num(np.array(x), nan=v) for x in X], observed=observed) for v in (99.0, -4.0))
    assert read(one) == read(other)


def test_values_that_are_masked_never_reach_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    check_masked_values_are_not_read()
    seen = features.observed_values
    monkeypatch.setattr(features, "observed_values", lambda name, found, given: seen(name, found, None))
    with pytest.raises(AssertionError):  # the planted bug: masks are ignored
        check_masked_values_are_not_read()


def check_gaps_are_told_apart() -> None:
    """A student's outputs for a value that is there differ from those for one that is carried into a gap."""
    found = task([[1.0, NAN, 3.0], [1.0, 1.0, 3.0], [2.0, 2.0], [2.0, 2.0]])
    student = make_student("gru", found.inputs, found.targets, dtype=torch.float32)
    inputs = torch.stack(found._inputs.split()[:2])
    outputs = student.outputs(inputs)[0]
    assert torch.equal(outputs[0, 0], outputs[1, 0])
    assert not torch.allclose(outputs[0, 1], outputs[1, 1])


def test_the_network_distinguishes_a_gap_from_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    check_gaps_are_told_apart()
    flagged = features.with_flags
    monkeypatch.setattr(features, "with_flags", lambda name, found, *args: flagged(name, found, *args)[:, :1])
    with pytest.raises(AssertionError):  # the planted bug: a column without its flag
        check_gaps_are_told_apart()


def test_missing_symbols_are_a_symbol_of_their_own() -> None:
    symbols = [[0, 1, 2], [1, 1], [0, 0], [2, 0]]
    masks = [[True, False, True], [True, True], [False, True], [True, True]]
    found = task(symbols, observed=[np.array(mask) for mask in masks])
    assert found.inputs == Categorical(4)
    assert read(found) == [[0, 3, 2], [1, 1], [3, 0], [2, 0]]
    assert task(symbols).inputs == Categorical(3)


def test_the_next_rows_of_what_is_known_ahead_are_read() -> None:
    inputs = [np.full((2, 1), i + 0.5) for i in range(4)]
    future = [np.array([[10 * i], [10 * i + 1], [10 * i + 2]]) for i in range(4)]
    found = task(inputs, labels=None, targets=inputs, future=future)
    assert read(found) == [[[i + 0.5, 10 * i + 1], [i + 0.5, 10 * i + 2]] for i in range(4)]
    gaps = [future[0].astype(float), *future[1:]]
    gaps[0][2] = NAN
    found = task(inputs, labels=None, targets=inputs, future=gaps)
    assert read(found)[0] == [[0.5, 1, 0], [0.5, 1, 1]]


def test_static_features_are_read_at_every_step() -> None:
    inputs = [[1.0, 2.0], [3.0], [4.0, 5.0, 6.0], [7.0]]
    assert read(task(inputs, static=[10, 20, 30, 40]))[2] == [[4, 30], [5, 30], [6, 30]]
    assert read(task(inputs, static=[[1, 10.5], [NAN, 20], [3, 30], [4, 40]]))[1] == [[3, 1, 20, 1]]


def test_symbols_beside_numbers_are_columns() -> None:
    found = task([[0, 2], [1], [2], [0]], static=[5, 6, 7, 8])
    assert found.inputs == Real(4)
    assert read(found)[:2] == [[[1, 0, 0, 5], [0, 0, 1, 5]], [[0, 1, 0, 6]]]


def test_data_frames_are_read_by_their_columns() -> None:
    pd = pytest.importorskip("pandas")
    arrays = [np.arange(2 * n).reshape(n, 2) + 0.5 for n in (2, 3, 1, 4)]
    frames = [pd.DataFrame(one, columns=["u", "v"]) for one in arrays]
    assert read(task(frames, labels=["on", "off"] * 2)) == read(task(arrays))
    with pytest.raises(
        ValueError, match=r"^inputs\[2\] has the columns \['u', 'w'\]; inputs\[0\] has \['u', 'v'\], and"
    ):
        task([*frames[:2], frames[2].rename(columns={"v": "w"}), frames[3]])
    with pytest.raises(ValueError, match=r"^inputs\[0\]: column 'v' is of type .*; it must hold numbers"):
        task([frames[0].assign(v=["a", "b"]), *frames[1:]])
    with pytest.raises(ValueError, match=r"^inputs: column 'v' has no value in the training part; leave it out$"):
        task([frames[0].assign(v=NAN), frames[1].assign(v=NAN), *frames[2:]])
    with pytest.raises(ValueError, match=r"^inputs is one data frame; it must be a list of frames"):
        ragged.read("inputs", frames[0])


def test_missing_values_give_a_notice() -> None:
    with pytest.warns(
        Notice, match=r"^inputs: 5 of 11 values are missing \(column 0: 5\); the network reads the previous"
    ):
        task(X)


def test_a_whole_batch_with_gaps_scores_as_each_sequence_alone() -> None:
    found = task(X)
    whole = found._read(torch.arange(4), 4)
    for i, x in enumerate(X):
        alone = found._read(torch.tensor([i]), len(x))
        cut = Batch(*(a[i : i + 1, : len(x)] for a in (whole.inputs, whole.targets, whole.mask)))
        assert torch.equal(alone.inputs, cut.inputs)
        assert torch.equal(alone.targets, cut.targets)
        assert torch.equal(alone.mask, cut.mask)


OBSERVED = [np.ones(len(x), dtype=bool) for x in X]
BAD: list[tuple[Any, dict[str, Any], str]] = [
    ([[NAN], [NAN, NAN], [1.0], [2.0]], {}, "inputs: column 0 has no value in the training part; leave it out"),
    (X, {"static": [NAN, NAN, 1, 2]}, "static: column 0 has no value in the training part; leave it out"),
    (X, {"static": [1, 2, 3]}, "static has 3 entries; there must be one for each of the 4 inputs"),
    (X, {"static": [1, 2, np.inf, 3]}, "static[2] is inf; real numbers must be finite as float32"),
    (X, {"observed": OBSERVED[:3]}, "observed must hold a mask for each of the 4 sequences of inputs"),
    (
        X,
        {"observed": [np.ones(9, dtype=bool), *OBSERVED[1:]]},
        "observed[0] is bool of shape (9,); it must be bool, of shape (3,) or (3, 1)",
    ),
    (
        X,
        {"observed": [OBSERVED[0].astype(int), *OBSERVED[1:]]},
        "observed[0] is int64 of shape (3,); it must be bool, of shape (3,) or (3, 1)",
    ),
    (X, {"future": X}, "future is set with labels; it holds values known of the next target, and needs targets"),
    (
        X,
        {"labels": None, "targets": X, "future": X},
        "future[0] has 3 rows; it must have 4: one for each of the 3 steps of inputs[0], and one for the step after",
    ),
    (
        X,
        {"labels": None, "targets": X, "future": X[:2]},
        "future has 2 entries; there must be one for each of the 4 inputs",
    ),
    (
        [[0, 1], [5000], [1], [2]],
        {"static": [1, 2, 3, 4]},
        "inputs hold 5,001 symbols with future or static numbers; at most 1,000 are allowed, one 0/1 column each",
    ),
]


@pytest.mark.parametrize(("inputs", "options", "message"), BAD, ids=[message[:60] for *_, message in BAD])
def test_bad_gaps_give_one_line(inputs: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        task(inputs, **options)
