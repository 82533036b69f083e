"""Losses against naive twins: the formula of the docstring, as slow loops. Values and gradients."""

import math

import pytest
import torch
from torch import Tensor

from nounroll.core.batch import Categorical, Real
from nounroll.models.student import Readout
from nounroll.objectives.dynamics import dynamics, power_mean
from nounroll.objectives.readout import masked_mean, negative_log_likelihood, readout_loss
from nounroll.objectives.uniformity import uniformity


def doubles(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.requires_grad_()


def assert_same(ours: Tensor, twin: Tensor, *leaves: Tensor, tolerance: float = 1e-12) -> None:
    """The same values, and the same gradients of a weighted sum of them."""
    torch.testing.assert_close(ours, twin, rtol=tolerance, atol=tolerance, check_dtype=False)
    weight = torch.linspace(0.5, 2, ours.numel(), dtype=torch.float64).view_as(ours)
    for one, other in zip(
        torch.autograd.grad((weight * ours).sum(), leaves),
        torch.autograd.grad((weight * twin).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


# --- dynamics -----------------------------------------------------------------------------------------


def test_dynamics() -> None:
    predicted, label = doubles(3, 4, 2, 5), doubles(3, 4, 2, 5, seed=1)
    rows = []
    for n in range(3):
        for s in range(4):
            squares = [(predicted[n, s, k, c] - label[n, s, k, c]) ** 2 for k in range(2) for c in range(5)]
            rows.append(sum(squares, torch.zeros(())) / 10)
    assert_same(dynamics(predicted, label), torch.stack(rows).view(3, 4), predicted, label)


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 5.0])
def test_power_mean(power: float) -> None:
    leaf = doubles(3, 4)
    rows = [(leaf[n, s] ** 2) ** power for n in range(3) for s in range(4)]
    assert_same(power_mean(leaf**2, power), (sum(rows, torch.zeros(())) / 12) ** (1 / power), leaf, tolerance=1e-6)


def test_a_power_mean_is_the_mean_at_1_and_tends_to_the_largest() -> None:
    errors = doubles(50).detach() ** 2
    assert power_mean(errors, 1) == errors.mean()
    means = [power_mean(errors, power).item() for power in (1, 1.5, 2, 4, 16, 64, 1000)]
    assert means == sorted(means)
    assert means[-1] == pytest.approx(errors.max().item(), rel=0.01)
    for size in (1e-3, 1e3):
        assert power_mean(size * errors, 3).item() == pytest.approx(size * power_mean(errors, 3).item(), rel=1e-4)


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 8.0, 64.0])
@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-6, 1e-3, 1.0, 1e6, 1e30])
def test_a_power_mean_of_errors_of_any_size_is_finite_and_so_is_its_gradient(size: float, power: float) -> None:
    """In single precision, where 1e-6 to the power of 8 is 0 and 1e6 to the power of 8 is infinite."""
    for errors in (torch.full((4,), size), torch.tensor([0.0, 0.0, size, 2 * size])):
        errors.requires_grad_()
        mean = power_mean(errors, power)
        slope = torch.autograd.grad(mean, errors)[0]
        assert torch.isfinite(mean)
        assert torch.isfinite(slope).all()
        assert (slope >= 0).all()
        assert slope.sum() > 0  # it still says which way is down
        low, high = errors.mean().item(), errors.max().item()
        assert low * (1 - 1e-5) <= mean.item() <= high * (1 + 1e-5) + 1e-7


# --- uniformity ---------------------------------------------------------------------------------------


def test_uniformity() -> None:
    memories = doubles(6, 2, 5)
    tokens = []
    for k in range(2):
        points = [memories[n, k] / memories[n, k].norm() for n in range(6)]
        pairs = [
            torch.exp(-2 * ((a - b) ** 2).sum()) for i, a in enumerate(points) for j, b in enumerate(points) if i != j
        ]
        tokens.append(torch.log(torch.stack(pairs).mean()))
    assert_same(uniformity(memories), torch.stack(tokens), memories, tolerance=1e-5)  # the norm has an epsilon


def test_uniformity_falls_as_memories_spread() -> None:
    one, spread = doubles(1, 1, 8).detach().expand(16, 1, 8), doubles(16, 1, 8, seed=1).detach()
    assert uniformity(one).item() == pytest.approx(0, abs=1e-5)
    assert uniformity(spread) < uniformity(one + 0.1 * spread) < 0
    assert torch.allclose(uniformity(5 * spread), uniformity(spread), atol=1e-5)  # directions count, not lengths


# --- likelihoods --------------------------------------------------------------------------------------


def test_likelihood_of_symbols() -> None:
    outputs, targets = doubles(2, 3, 4), torch.tensor([[0, 3, 1], [2, 2, 0]])
    twin = torch.stack(
        [
            torch.log(torch.stack([torch.exp(outputs[b, t, v]) for v in range(4)]).sum()) - outputs[b, t, targets[b, t]]
            for b in range(2)
            for t in range(3)
        ]
    )
    ours = negative_log_likelihood(Categorical(4), outputs, targets)
    assert_same(ours, twin.view(2, 3), outputs, tolerance=1e-6)


def test_likelihood_of_real_vectors() -> None:
    outputs, targets = doubles(2, 3, 4), doubles(2, 3, 2, seed=1).detach()
    rows = []
    for b in range(2):
        for t in range(3):
            density = torch.distributions.Normal(outputs[b, t, :2], torch.exp(outputs[b, t, 2:])).log_prob(
                targets[b, t]
            )
            rows.append(-(density[0] + density[1]))
    ours = negative_log_likelihood(Real(2), outputs, targets)
    assert_same(ours, torch.stack(rows).view(2, 3), outputs, tolerance=1e-6)


def test_likelihood_of_one_symbol_out_of_v() -> None:
    assert negative_log_likelihood(Categorical(8), torch.zeros(1, 8), torch.tensor([3])).item() == pytest.approx(
        math.log(8)
    )


def test_hits() -> None:
    outputs = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    assert Categorical(3).hits(outputs, torch.tensor([1, 2])).tolist() == [1, 0]
    pairs = torch.tensor([[1.0, 2.0, 9.0, 9.0]])  # means, then log scales
    assert Real(2).hits(pairs, torch.tensor([[0.0, 4.0]])).tolist() == [-5]


# --- means over masks ---------------------------------------------------------------------------------


def test_masked_mean() -> None:
    values, mask = doubles(2, 3), torch.tensor([[True, False, True], [False, False, True]])
    assert_same(masked_mean(values, mask), (values[0, 0] + values[0, 2] + values[1, 2]) / 3, values)


def test_masked_mean_of_nothing_is_zero() -> None:
    values = doubles(2, 3)
    mean = masked_mean(values, torch.zeros(2, 3, dtype=torch.bool))
    assert mean.item() == 0
    assert torch.equal(torch.autograd.grad(mean, values)[0], torch.zeros(2, 3, dtype=torch.float64))


def test_what_is_masked_out_does_not_count_even_when_it_is_not_finite() -> None:
    values = torch.tensor([1.0, torch.nan, torch.inf], requires_grad=True)
    mean = masked_mean(values, torch.tensor([True, False, False]))
    assert mean.item() == 1
    assert torch.autograd.grad(mean, values)[0].tolist() == [1, 0, 0]


# --- the readout's loss over what is scored ---------------------------------------------------------------


def head_of(space: Categorical | Real) -> Readout:
    torch.manual_seed(3)
    return Readout(6, space, 7).double()


MASKS = {
    "full": torch.ones(2, 3, dtype=torch.bool),
    "sparse": torch.tensor([[True, False, True], [False, False, True]]),
    "one": torch.tensor([[False] * 3, [False, True, False]]),
    "empty": torch.zeros(2, 3, dtype=torch.bool),
}


@pytest.mark.parametrize("space", [Categorical(4), Real(2)], ids=str)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_readout_loss_is_the_masked_mean_of_the_whole_readout(mask: Tensor, space: Categorical | Real) -> None:
    head, features = head_of(space), doubles(2, 3, 6)
    targets = torch.tensor([[0, 3, 1], [2, 2, 0]]) if isinstance(space, Categorical) else doubles(2, 3, 2).detach()
    whole = masked_mean(negative_log_likelihood(space, head(features), targets), mask)
    ours = readout_loss(head, space, features, targets, mask)
    torch.testing.assert_close(ours, whole, rtol=1e-6, atol=0, check_dtype=False)
    leaves = [features, *head.parameters()]
    for one, other in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(whole, leaves), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-9)
        assert one.any() == mask.any()


@pytest.mark.parametrize(("mask", "rows"), [("full", 6), ("sparse", 3), ("empty", 0)])
def test_nothing_is_read_out_where_nothing_is_scored(mask: str, rows: int) -> None:
    """Not even what is not finite there, nor a target that is none."""
    head, seen, features = head_of(Categorical(4)), [], doubles(2, 3, 6).detach()
    features[~MASKS[mask]] = torch.nan
    targets = torch.where(MASKS[mask], 1, -5)

    def spy(given: Tensor) -> Tensor:
        seen.append(given.shape[:-1].numel())
        return head(given)

    loss = readout_loss(spy, Categorical(4), features.requires_grad_(), targets, MASKS[mask])
    assert seen == [rows]
    assert torch.isfinite(loss)
    assert torch.isfinite(torch.autograd.grad(loss, features)[0]).all()


# --- control: the tests check shapes ------------------------------------------------------------------


def test_control_wrong_shapes_are_caught() -> None:
    with pytest.raises(TypeError, match="violates type hint"):
        dynamics(torch.zeros(3, 2, 4), torch.zeros(3, 2, 5))
    with pytest.raises(TypeError, match="violates type hint"):
        masked_mean(torch.zeros(3), torch.zeros(3))
