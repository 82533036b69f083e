"""An optimiser's state comes back exactly, or is refused."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nounroll.storage import checkpoint
from nounroll.storage.checkpoint import CheckpointError
from nounroll.training.optimizer import load_optimizer_state, optimizer_state


def assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype
        assert torch.equal(actual[name], value), name


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 2), (4,), (), (2,))]


def adamw(p: list[nn.Parameter]) -> torch.optim.Optimizer:
    groups = [
        {"params": p[:2], "lr": 0.1 + 0.2, "weight_decay": 0.01},
        {"params": p[2:], "betas": (0.9, 0.95), "amsgrad": True},
    ]
    return torch.optim.AdamW(groups, lr=3e-4)


def sgd(p: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(p, lr=torch.tensor(0.1))  # no momentum: a state without a tensor; a rate that is one


def train(p: list[nn.Parameter], optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        sum((q**2).sum() for q in p[:3]).backward()  # the last parameter never gets a gradient, nor a state
        optimizer.step()


@pytest.mark.parametrize("make", [adamw, sgd])
def test_an_optimizer_resumes_exactly(tmp_path: Path, make) -> None:
    p = parameters()
    optimizer = make(p)
    train(p, optimizer, 3)
    state, document = optimizer_state(optimizer)
    checkpoint.write(
        tmp_path / "saved", {"optimizer": state, "model": dict(zip("abcd", p, strict=True))}, {"optimizer": document}
    )
    train(p, optimizer, 3)

    read_tensors, documents = checkpoint.read(tmp_path / "saved")
    q = [nn.Parameter(value) for _, value in sorted(read_tensors["model"].items())]
    resumed = make(q)
    train([nn.Parameter(torch.ones_like(v)) for v in q], resumed, 0)
    before = {name: value.clone() for name, value in read_tensors["optimizer"].items()}
    load_optimizer_state(resumed, read_tensors["optimizer"], documents["optimizer"])
    assert_same(optimizer_state(resumed)[0], before)
    assert json.dumps(optimizer_state(resumed)[1]) == json.dumps(document)
    train(q, resumed, 3)

    assert all(torch.equal(a, b) for a, b in zip(p, q, strict=True))
    assert_same(optimizer_state(resumed)[0], optimizer_state(optimizer)[0])
    assert_same(read_tensors["optimizer"], before)  # what was loaded is a copy
    for mine, theirs in zip(optimizer.param_groups, resumed.param_groups, strict=True):
        for name in mine.keys() - {"params"}:
            assert type(mine[name]) is type(theirs[name])
            assert mine[name] == theirs[name]


def test_loading_forgets_the_state_of_parameters_that_had_none() -> None:
    p, q = parameters(), parameters()
    fresh, used = adamw(p), adamw(q)
    train(q, used, 2)
    load_optimizer_state(used, *optimizer_state(fresh))
    assert not used.state


def test_control_a_dropped_state_is_seen() -> None:
    p, q = parameters(), parameters()
    one, other = adamw(p), adamw(q)
    train(p, one, 3)
    train(q, other, 3)
    state, document = optimizer_state(one)
    state["state.0.exp_avg"] = torch.zeros_like(state["state.0.exp_avg"])
    load_optimizer_state(one, state, document)
    train(p, one, 1)
    train(q, other, 1)
    assert not torch.equal(p[0], q[0])


def test_a_state_of_another_optimizer_is_refused() -> None:
    state, document = optimizer_state(adamw(parameters()))
    for other in (sgd(parameters()), torch.optim.AdamW([{"params": [p]} for p in parameters()[:2]])):
        with pytest.raises(CheckpointError, match="does not fit this optimiser"):
            load_optimizer_state(other, state, document)
    for broken in ({}, {"state": {}, "group": {"0": 1}}, {"state": [], "group": []}):
        with pytest.raises(CheckpointError, match="does not fit this optimiser"):
            load_optimizer_state(adamw(parameters()), state, broken)
    with pytest.raises(CheckpointError, match="does not fit this optimiser"):
        load_optimizer_state(adamw(parameters()), {"weight": torch.ones(1)}, document)
