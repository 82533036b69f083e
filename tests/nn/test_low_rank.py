"""Low-rank updates: they change nothing at first, and are part of the matrices when they are merged."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from helpers import same_state
from nounroll import Categorical, Student
from nounroll.cells.base import CELLS, CellSettings
from nounroll.nn import low_rank
from nounroll.nn.low_rank import LowRank, add_low_rank, merge_low_rank

X = torch.randint(5, (3, 6), generator=torch.Generator().manual_seed(0))


class OwnCell(nn.Module):
    """A cell of a user's own, with a bare matrix and a matrix between two vectors."""

    memory_shape = (1, 12)

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(12))
        self.turn = nn.Parameter(torch.randn(12, 12, generator=torch.Generator().manual_seed(0)) / 4)
        self.shift = nn.Parameter(torch.zeros(12))
        self.table = nn.Embedding(5, 12)

    def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
        return torch.tanh(memory @ self.turn * self.gain + self.shift + self.table(inputs)[:, None])


class NotAtFirst(LowRank):
    """An update that changes the matrix from the start."""

    def __init__(self, weight: Tensor, place: int) -> None:
        super().__init__(weight, place)
        nn.init.ones_(self.up)


def student(kind: str) -> Student:
    cell = OwnCell() if kind == "own" else CellSettings(kind=kind, tokens=2, memory_width=8)
    return Student(Categorical(5), Categorical(4), cell, readout_width=8)


def updates(module: nn.Module) -> list[LowRank]:
    return [part for part in module.modules() if isinstance(part, LowRank)]


def trained(module: nn.Module) -> None:
    """Give the updates other values than those they start with."""
    generator = torch.Generator().manual_seed(1)
    for update in updates(module):
        update.up.data = torch.randn(update.up.shape, generator=generator) / 4


def gradients(network: Student) -> dict[str, Tensor]:
    """Gradients of a loss of all outputs by the ordinary names of weights, and those of the updates from them."""
    network.zero_grad()
    network.outputs(X)[0].square().sum().backward()
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    for name in [name for name in found if name.endswith(".original")]:
        up, down = (network.get_parameter(name.replace("original", f"0.{which}")) for which in ("up", "down"))
        whole = found.pop(name)
        torch.testing.assert_close(found.pop(name.replace("original", "0.up")), whole @ down.T)
        torch.testing.assert_close(found.pop(name.replace("original", "0.down")), up.T @ whole)
        found[name.replace("parametrizations.", "").removesuffix(".original")] = whole
    return found


@pytest.mark.parametrize("kind", [*CELLS.places, "own"])
def test_an_update_starts_at_nothing_and_is_merged_exactly(kind: str, tmp_path: Path) -> None:
    check_update(student(kind), tmp_path)


def check_update(network: Student, folder: Path) -> None:
    before, names = copy.deepcopy(network), list(network.state_dict())
    add_low_rank(network.cell)
    assert updates(network)
    assert torch.equal(network.outputs(X)[0], before.outputs(X)[0])

    trained(network)
    outputs, expected = network.outputs(X)[0], gradients(network)
    assert not torch.allclose(outputs, before.outputs(X)[0])
    merge_low_rank(network)
    assert not updates(network)
    assert type(network.cell) is type(before.cell)
    assert list(network.state_dict()) == names  # an optimiser numbers weights by their order
    assert torch.equal(network.outputs(X)[0], outputs)
    assert same_state(gradients(network), expected)

    network.save_pretrained(folder / "saved")
    again = Student.from_pretrained(folder / "saved", cell=None if network.settings else OwnCell())
    assert torch.equal(again.outputs(X)[0], outputs)
    assert same_state(copy.deepcopy(network).state_dict(), network.state_dict())


@pytest.mark.parametrize(
    ("name", "bug"),
    [
        ("_put_back", lambda part, name, place: None),  # weights change their order
        ("LowRank", lambda weight, place: NotAtFirst(weight, place)),
    ],
)
def test_control_a_planted_fault_is_caught(
    name: str, bug: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(low_rank, name, bug)
    with pytest.raises(AssertionError):
        check_update(student("lstm"), tmp_path)


def test_only_matrices_have_an_update_of_rank_8_at_most() -> None:
    network = student("own")
    old = {name: t.clone() for name, t in network.cell.state_dict().items()}
    add_low_rank(network.cell)
    trained(network)
    merge_low_rank(network)
    ranks = {
        name: int(torch.linalg.matrix_rank(t - old[name]).max())
        for name, t in network.cell.state_dict().items()
        if t.dim() == 2
    }
    assert ranks == {"turn": 8, "table.weight": 5}
    assert all(torch.equal(network.cell.state_dict()[name], old[name]) for name in ("gain", "shift"))


def test_a_cell_that_cannot_have_updates_is_refused() -> None:
    tied, own = OwnCell(), OwnCell()
    tied.again = nn.Linear(12, 12)
    tied.again.weight = tied.turn
    parametrizations.weight_norm(own.table)
    for cell, fault in ((tied, "shares a weight matrix"), (own, "has parametrizations of its own")):
        with pytest.raises(ValueError, match=rf"^adapt\.update is 'low-rank', and OwnCell {fault}; choose another"):
            add_low_rank(cell)
    with pytest.raises(ValueError, match=r"^adapt\.update is 'low-rank', and LayerNorm has no matrix; choose another"):
        add_low_rank(nn.LayerNorm(3))
    assert not updates(tied)
