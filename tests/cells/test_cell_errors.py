"""What is no cell is refused in one line that names the thing, the value and what is allowed."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers import SYMBOLS
from nounroll.cells import build_cell, complete
from nounroll.cells.base import Cell, CellSettings, check_cell
from nounroll.core.batch import Real
from own_parts import OwnCell, OwnRealCell

EXAMPLE = torch.zeros(3, dtype=torch.int64)


class Odd(nn.Module):
    """A module that is a cell in part."""

    def __init__(self, after: Any = None, **attributes: Any) -> None:
        super().__init__()
        self.after = after
        for name, value in attributes.items():
            setattr(self, name, value)

    def step(self, inputs: Tensor, memory: Tensor) -> Any:
        return self.after


class NoStep(nn.Module):
    memory_shape = (1, 8)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("gru", "cell is a str; it must be a torch.nn.Module with memory_shape and step(inputs, memory)"),
        (OwnCell, "cell is a type; it must be a torch.nn.Module with memory_shape and step(inputs, memory)"),
        (Odd(), "Odd.memory_shape is None; it must be (tokens, width), such as (4, 64)"),
        (Odd(memory_shape=8), "Odd.memory_shape is 8; it must be (tokens, width), such as (4, 64)"),
        (Odd(memory_shape=(2, 3, 4)), "Odd.memory_shape is (2, 3, 4); it must be (tokens, width), such as (4, 64)"),
        (Odd(memory_shape=(0, 8)), "Odd.memory_shape is (0, 8); it must be (tokens, width), such as (4, 64)"),
        (NoStep(), "NoStep has no step(inputs, memory) method; a cell needs one"),
        (Odd(memory_shape=(1, 8)), "Odd.step returned NoneType; with this memory_shape it must return (3, 1, 8)"),
        (
            Odd(torch.zeros(3, 8), memory_shape=(1, 8)),
            "Odd.step returned (3, 8); with this memory_shape it must return (3, 1, 8)",
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else None,
)
def test_no_cell(cell: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_cell(cell, SYMBOLS, EXAMPLE)


def test_own_cells_pass() -> None:
    for cell, space, example in ((OwnCell(5), SYMBOLS, EXAMPLE), (OwnRealCell(2), Real(2), torch.zeros(3, 2))):
        assert check_cell(cell, space, example) is cell
        assert isinstance(cell, Cell)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokens": 0}, "cell.tokens is 0; it must be at least 1"),
        ({"memory_width": -1}, "cell.memory_width is -1; it must be at least 1"),
        ({"width": -1}, "cell.width is -1; it must be at least 0"),
        ({"layers": -1}, "cell.layers is -1; it must be at least 0"),
        ({"layers": 1001}, "cell.layers is 1001; it must be at most 1000"),
        ({"keep": -0.5}, "cell.keep is -0.5; it must be at least 0"),
        ({"kind": "gru", "layers": 2}, "cell.layers is 2; the gru cell has one layer"),
        (
            {"kind": "mingru", "layers": 3},
            "cell.layers is 3; it must divide cell.tokens * cell.memory_width, which is 256",
        ),
        (
            {"kind": "lstm", "tokens": 1, "memory_width": 7},
            "cell.tokens * cell.memory_width is 7; an LSTM holds (h, c), so it must be even",
        ),
        (
            {"kind": "pooled", "tokens": 1, "memory_width": 4},
            "cell.tokens * cell.memory_width is 4; a pooled cell holds (h, c, mean, most, weight), so it must be at"
            " least 5",
        ),
    ],
)
def test_settings_of_a_cell(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build_cell(CellSettings(**settings), SYMBOLS)


@pytest.mark.parametrize("kind", ["rnn", "auto"])  # auto is chosen before a cell is built
def test_an_unknown_kind_is_answered_with_the_kinds(kind: str) -> None:
    settings = CellSettings()
    object.__setattr__(settings, "kind", kind)  # from Python; a recipe's types are checked before
    for build in (lambda: build_cell(settings, SYMBOLS), lambda: complete(settings)):
        with pytest.raises(
            ValueError,
            match=re.escape(
                f"cell.kind is '{kind}'; it must be one of mlp, transformer, gru, lstm, elman, tape, mingru, pooled"
            ),
        ):
            build()
