"""Units of a gated cell start with different times for which they keep what they hold: ``cell.keep``."""

from typing import Any

import pytest
import torch
from torch import nn

from helpers import CELL_KINDS, SHAPE, SYMBOLS
from nounroll.cells import build_cell, takes
from nounroll.cells.base import CellSettings

UNITS = {"gru": SHAPE[0] * SHAPE[1], "lstm": SHAPE[0] * SHAPE[1] // 2}
TORCHS: dict[str, type[nn.RNNBase]] = {"gru": nn.GRU, "lstm": nn.LSTM}


def built(kind: str, keep: float) -> Any:
    """A cell, from the same random numbers whatever ``keep`` is."""
    settings = CellSettings(kind=kind, tokens=SHAPE[0], memory_width=SHAPE[1], width=16, keep=keep)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_cell(settings, SYMBOLS)


def biases(core: nn.RNNBase) -> torch.Tensor:
    """What is added before the gates in all, by gate and unit: of a GRU r, z, n, and of an LSTM i, f, g, o."""
    return (core.bias_ih_l0 + core.bias_hh_l0).detach().view(-1, core.hidden_size)  # type: ignore[operator]


def test_which_cells_have_a_gate_that_keeps() -> None:
    assert {kind for kind in CELL_KINDS if takes(kind, "keep")} == {*UNITS, "mlp", "pooled"}


def test_the_mlps_gate_is_spread_over_its_coordinates() -> None:
    plain, keeping = (dict(built("mlp", keep).named_parameters()) for keep in (0.0, 4.0))
    others = {name for name, value in plain.items() if not torch.equal(value, keeping[name])}
    assert others == {"write.bias"}
    gate, new = keeping["write.bias"].chunk(2)
    assert torch.equal(gate, torch.linspace(0, 4, SHAPE[0] * SHAPE[1]))
    assert torch.equal(new, plain["write.bias"].chunk(2)[1])


def test_a_pooled_cell_hands_it_to_its_lstm() -> None:
    found = biases(built("pooled", 4.0).lstm.core)
    assert torch.equal(found[1], torch.linspace(0, 4.0, (SHAPE[0] * SHAPE[1] - 1) // 4))


@pytest.mark.parametrize("keep", [0.5, 4.0])
@pytest.mark.parametrize("kind", UNITS)
def test_the_gate_that_keeps_is_spread_over_the_units(kind: str, keep: float) -> None:
    found = biases(built(kind, keep).core)
    assert torch.equal(found[1], torch.linspace(0, keep, UNITS[kind]))
    found[1] = 0
    assert not found.any()


@pytest.mark.parametrize("kind", UNITS)
def test_weights_are_torchs_own_whatever_it_is(kind: str) -> None:
    plain, keeping = (dict(built(kind, keep).named_parameters()) for keep in (0.0, 4.0))
    assert plain.keys() == keeping.keys()
    others = {name for name, value in plain.items() if not torch.equal(value, keeping[name])}
    assert others == {"core.bias_ih_l0", "core.bias_hh_l0"}


@pytest.mark.parametrize("kind", UNITS)
def test_zero_is_torchs_own_start(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start, bare = TORCHS[kind].reset_parameters, dict[str, torch.Tensor]()

    def recorded(core: nn.RNNBase) -> None:
        start(core)
        bare.update({name: value.detach().clone() for name, value in core.named_parameters()})

    monkeypatch.setattr(TORCHS[kind], "reset_parameters", recorded)
    core = built(kind, 0.0).core
    assert bare.keys() == dict(core.named_parameters()).keys()
    assert all(torch.equal(value, bare[name]) for name, value in core.named_parameters())
    assert biases(core).all()


@pytest.mark.parametrize("kind", UNITS)
def test_units_keep_for_longer_the_larger_their_bias_is(kind: str) -> None:
    """From a memory of ones, with no weights: what is left of it after a step is the open gate, sigmoid(bias)."""
    cell = built(kind, 4.0)
    with torch.no_grad():
        for name, value in cell.core.named_parameters():
            if name.startswith("weight"):
                value.zero_()
        after = cell.step(torch.zeros(1, dtype=torch.int64), torch.ones(1, *SHAPE)).flatten()
    kept = after[-UNITS[kind] :]  # of an LSTM the carry, which lies behind the output
    torch.testing.assert_close(kept, torch.linspace(0, 4, UNITS[kind]).sigmoid(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in CELL_KINDS if not takes(kind, "keep")])
def test_a_cell_without_such_a_gate_is_the_same_whatever_it_is(kind: str) -> None:
    one, other = (built(kind, keep).state_dict() for keep in (0.0, 7.5))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
