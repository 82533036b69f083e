"""Forms in which users give numbers: tensors, masked arrays, objects, frames."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch

from nounroll.data.numeric import as_numbers
from nounroll.data.ragged import NONE, read_array

HALVES = [[0.5, 1.0], [1.5, 2.0]]


@pytest.mark.parametrize(
    "values",
    [
        torch.tensor(HALVES, requires_grad=True),
        torch.tensor(HALVES, dtype=torch.bfloat16),
        torch._neg_view(-torch.tensor(HALVES)),
        [torch.tensor(row, requires_grad=True) for row in HALVES],
        [[Decimal("0.5"), 1], [1.5, np.int8(2)]],
        np.array(HALVES, dtype=">f8")[::-1][::-1],
        np.array([np.array(row) for row in HALVES] + [None], dtype=object)[:2],
    ],
    ids=["gradient", "bfloat16", "negative-view", "list-of-tensors", "decimal", "big-endian", "array-of-arrays"],
)
def test_numbers_are_read_from_any_form(values: Any) -> None:
    assert as_numbers("x", values).tolist() == HALVES


def test_objects_that_are_whole_numbers_stay_so() -> None:
    assert as_numbers("x", np.array([1, True, 3], dtype=object)).dtype.kind == "i"


def test_masked_values_none_and_na_are_missing() -> None:
    pandas = pytest.importorskip("pandas")
    for values in (
        np.ma.masked_array([1, 7, 3], mask=[False, True, False]),
        [1, None, 3],
        pandas.Series([1, pandas.NA, 3], dtype=object),
        pandas.Series([True, None, True], dtype="boolean"),
    ):
        assert np.isnan(as_numbers("x", values)).tolist() == [False, True, False]


@pytest.mark.parametrize("form", ["list", "Int64", "int64[pyarrow]", "object"])
def test_symbols_to_predict_may_be_missing(form: str) -> None:
    values: Any = [2, None, 0]
    if form != "list":
        values = pytest.importorskip("pandas").Series(values, dtype=form)
    assert read_array("targets[0]", values, "T", gaps="steps").tolist() == [2, NONE, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1, "a"], dtype=object), "x holds 'a'; it must hold whole or real numbers"),
        ([1, {}], "x holds values of type object; it must hold whole or real numbers"),
        ([10**400], "x holds values of type object; it must hold whole or real numbers"),
        (["1"], "x holds values of type <U1; it must hold whole or real numbers"),
    ],
)
def test_other_values_are_refused_in_one_line(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        as_numbers("x", values)


def test_frames_may_hold_numbers_as_objects_and_columns_of_one_name() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([[1.0, True], [Decimal("2.5"), None]], columns=["a", "a"], dtype=object)
    np.testing.assert_equal(read_array("x", frame, "T", gaps="values").numpy(), np.array([[1, 1], [2.5, np.nan]], "f4"))
    frame.iloc[1, 1] = "b"
    with pytest.raises(ValueError, match=r"^x: column 'a' is of type object; it must hold numbers: use pandas.get_dum"):
        read_array("x", frame, "T")
