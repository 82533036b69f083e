"""The tests' own check of shapes finds what does not fit."""

import os

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import typechecking
from nounroll.objectives.readout import masked_mean


def add(a: Float[Tensor, "n"], b: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    return a + b


def wrong() -> None:
    checked(torch.zeros(2), torch.zeros(1))


checked = typechecking._decorator(typechecker=typechecking.check)(add)
FITS = (torch.zeros(2), torch.zeros(2))


def test_the_package_is_checked() -> None:
    with pytest.raises(TypeError, match="masked_mean"):
        masked_mean(torch.zeros(2, 3), torch.zeros(2, 4, dtype=torch.bool))


@pytest.mark.parametrize("before", [0, typechecking.FIRST - 1])
def test_the_first_calls_of_a_test_are_checked(before: int) -> None:
    for _ in range(before):
        checked(*FITS)
    with pytest.raises(TypeError):
        wrong()


def test_of_the_later_calls_one_in_so_many_is_checked() -> None:
    for _ in range(typechecking.FIRST):
        checked(*FITS)
    found = 0
    for _ in range(3 * typechecking.LATER):
        try:
            wrong()
        except TypeError:
            found += 1
    assert found == (3 * typechecking.LATER if "NOUNROLL_NIGHTLY" in os.environ else 3)
    typechecking.begin()
    with pytest.raises(TypeError):
        wrong()
