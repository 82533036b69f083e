"""The exponent of maps whose exponent is known."""

import math

import pytest
import torch
from torch import Tensor

from helpers import SYMBOLS, draw_values, make_student
from nounroll.analysis import contraction as module
from nounroll.analysis.contraction import contraction
from nounroll.core.seeding import generator
from own_parts import OwnCell


class Shrinking(OwnCell):
    def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
        return 0.9 * memory + self.of_input(inputs)[:, None]


class Tent(OwnCell):
    """Errors double at every step."""

    def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
        return 1 - 2 * memory.abs()


@pytest.mark.parametrize("at_once", [7, 256])
@pytest.mark.parametrize(("cell", "exponent"), [(Shrinking(5), math.log(0.9)), (Tent(5), math.log(2))])
def test_known_exponents(cell: OwnCell, exponent: float, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    inputs = draw_values(SYMBOLS, 1, 60)
    assert contraction(make_student(cell), inputs, generator(0, "test")) == pytest.approx(exponent, abs=0.05)


def test_a_cell_that_forgets_at_once_is_no_error() -> None:
    class Forgetful(OwnCell):
        def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
            return self.of_input(inputs)[:, None] + 0 * memory

    found = contraction(make_student(Forgetful(5)), draw_values(SYMBOLS, 1, 5), torch.Generator().manual_seed(0))
    assert found < -20
