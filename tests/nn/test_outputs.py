"""The last linear map: Gaussians in the unit of the targets."""

import torch

from nounroll.core.batch import Categorical, Real
from nounroll.nn.outputs import Outputs
from nounroll.objectives.readout import negative_log_likelihood

SCALED = Real(2, (10.0, -5.0), (4.0, 0.01))


def test_a_gaussian_is_never_a_point_nor_everything() -> None:
    raw = torch.tensor([[0.0, -1e9], [0.0, 1e9]], requires_grad=True)
    outputs = Real(1).parameters(raw)
    assert outputs[:, 1].tolist() == [-7, 7]
    losses = negative_log_likelihood(Real(1), outputs, torch.zeros(2, 1))
    assert torch.isfinite(losses).all()
    assert torch.isfinite(torch.autograd.grad(losses.sum(), raw)[0]).all()


def test_the_density_of_a_scaled_target_is_that_of_the_standardised_one_over_the_scale() -> None:
    raw = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.randn(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    shift, scale = SCALED.moments(targets)
    inside = negative_log_likelihood(Real(2), Real(2).parameters(raw).double(), targets)
    outside = negative_log_likelihood(SCALED, SCALED.parameters(raw).double(), shift + scale * targets)
    torch.testing.assert_close(outside, inside + scale.log().sum(), rtol=1e-3, atol=1e-3, check_dtype=False)


def test_symbols_have_plain_logits() -> None:
    layer, states = Outputs(3, Categorical(5)), torch.randn(2, 3)
    assert torch.equal(layer(states), torch.nn.functional.linear(states, layer.weight, layer.bias))


def test_half_precision_holds_no_large_numbers_but_its_outputs_do() -> None:
    layer = Outputs(3, Real(1, (1e9,), (1e8,))).half()
    mean, log_scale = layer(torch.ones(1, 3, dtype=torch.float16)).chunk(2, dim=-1)
    assert mean.dtype == torch.float32
    assert 1e8 < float(mean.detach()) < 1e10
    assert torch.isfinite(log_scale).all()
