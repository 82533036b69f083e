"""Embeddings of gated cells: a symbol's vector is no longer than one of the width that it needs."""

import pytest
import torch

from nounroll.cells.base import CellSettings
from nounroll.core.batch import Categorical, Real
from nounroll.models.student import Student
from nounroll.nn.embedding import InputEmbedding


@pytest.mark.parametrize(("symbols", "width", "length"), [(400, 20, 20), (400, 80, 80), (400, 320, 80), (100, 160, 40)])
def test_a_wide_table_starts_with_vectors_of_the_narrow_one(symbols: int, width: int, length: float) -> None:
    torch.manual_seed(0)
    table = InputEmbedding.for_gates(Categorical(symbols), width).map.weight
    assert table.shape == (symbols, width)
    assert float(table.detach().square().sum(1).mean()) == pytest.approx(length, rel=0.1)


def test_numbers_have_a_plain_linear_map() -> None:
    torch.manual_seed(0)
    found = InputEmbedding.for_gates(Real(3), 8)
    torch.manual_seed(0)
    assert torch.equal(found.map.weight, torch.nn.Linear(3, 8).weight)


@pytest.mark.parametrize("kind", ["lstm", "gru", "pooled", "elman"])
def test_gated_cells_use_it(kind: str) -> None:
    torch.manual_seed(0)
    student = Student(Categorical(4), Categorical(4), CellSettings(kind=kind, width=128))
    cell = student.cell.lstm if kind == "pooled" else student.cell
    assert float(cell.embed.map.weight.detach().square().sum(1).mean()) == pytest.approx(8, rel=0.3)
