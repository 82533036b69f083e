"""The training loss of numbers: its value is -log p, and a mean is pulled to its target as by a squared error."""

import pytest
import torch
from torch import Tensor

from nounroll.core.batch import Categorical, Real
from nounroll.core.spaces import Count, Positive, Product, Space, space_from_json, space_to_json

SCALED = Real(2, (10.0, -5.0), (4.0, 0.01)).by_error()


def drawn(space: Space, rows: int = 40) -> tuple[Tensor, Tensor]:
    """The numbers of a linear map, and targets."""
    source = torch.Generator().manual_seed(0)
    raw = torch.randn(rows, space.readout_size, generator=source).requires_grad_()
    return raw, space.example(rows, generator=source)


SPACES = [
    Real(3),
    SCALED,
    *[Real(2, likelihood=name) for name in ("student_t", "mixture", "quantiles")],
    Positive(1),
    Count(1),
    Categorical(4),
    Product(kind=Categorical(3), place=SCALED, chained=True),
]


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_its_value_is_the_nats_that_an_evaluation_has(space: Space) -> None:
    raw, values = drawn(space)
    outputs = space.parameters(raw)
    torch.testing.assert_close(space.loss(outputs, values), -space.log_prob(outputs, values), rtol=1e-4, atol=1e-4)


def test_a_mean_is_pulled_by_its_error_however_sure_the_network_is() -> None:
    raw, values = drawn(SCALED)
    SCALED.loss(SCALED.parameters(raw), values).sum().backward()
    assert raw.grad is not None
    errors = (raw[:, :2] - SCALED.standardise(values)).detach()
    torch.testing.assert_close(raw.grad[:, :2], errors, rtol=1e-3, atol=1e-3)


def test_control_by_the_likelihood_alone_the_sure_are_pulled_more() -> None:
    raw, values = drawn(SCALED)
    (-SCALED.log_prob(SCALED.parameters(raw), values)).sum().backward()
    assert raw.grad is not None
    errors = (raw[:, :2] - SCALED.standardise(values)).detach()
    assert float((raw.grad[:, :2] - errors).abs().max()) > 1


def test_the_best_spread_stays_that_of_the_likelihood() -> None:
    values = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0)) * 0.3
    space, raw = Real(1).by_error(), torch.tensor([0.0, 0.0], requires_grad=True)
    optimiser = torch.optim.Adam([raw], 0.05)
    for _ in range(300):
        optimiser.zero_grad()
        space.loss(space.parameters(raw.expand(len(values), -1)), values).mean().backward()
        optimiser.step()
    assert float(raw.detach()[1].exp()) == pytest.approx(0.3, rel=0.05)


def test_it_is_kept_with_the_space_and_only_if_it_was_asked_for() -> None:
    assert SCALED.weighted
    assert space_from_json(space_to_json(SCALED)).weighted  # type: ignore[attr-defined]
    assert "weighted" not in space_to_json(Real(2))
    assert Categorical(4).by_error() == Categorical(4)
