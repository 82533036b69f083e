"""Every space: log_prob integrates or sums to one, samples match it, and a naive likelihood says the same."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributions as known

from all_spaces import MIXED, SPACES, outputs_of, source
from nounroll.core.spaces import Bits, Categorical, Count, Positive, Product, Real, Sampling, Space
from nounroll.core.spaces.likelihoods.quantiles import LEVELS

UNIT = ((3.0,), (2.0,))
DENSITIES: dict[str, Space] = {
    **{name: Real(1, *UNIT, likelihood=name) for name in ("gaussian", "student_t", "mixture", "quantiles")},
    "positive": Positive(1, *UNIT),
    "log_normal": Positive(1, *UNIT, likelihood="gaussian"),
}
HUGE = torch.linspace(-math.pi / 2, math.pi / 2, 200_003, dtype=torch.float64)[1:-1]


def line(space: Space) -> tuple[Tensor, Tensor]:
    """Points over all of a line, and the length that each stands for."""
    places = UNIT[0][0] + UNIT[1][0] * torch.tan(HUGE)
    lengths = UNIT[1][0] * (1 + torch.tan(HUGE) ** 2) * float(HUGE[1] - HUGE[0])
    if isinstance(space, Positive):
        kept = places.abs() < 60
        return places[kept].exp()[:, None], lengths[kept] * places[kept].exp()
    return places[:, None], lengths


@pytest.mark.parametrize("name", DENSITIES)
def test_densities_integrate_to_one(name: str) -> None:
    space = DENSITIES[name]
    points, lengths = line(space)
    for row in outputs_of(space, 4, size=1.0).double():
        density = space.log_prob(row.expand(len(points), -1), points).double().exp()
        assert float((density * lengths).sum()) == pytest.approx(1, abs=2e-3)


def test_a_mixture_in_two_dimensions_integrates_to_one() -> None:
    space, axis = Real(2, likelihood="mixture"), torch.linspace(-12, 12, 401)
    points = torch.cartesian_prod(axis, axis)
    row = outputs_of(space, 1)
    total = space.log_prob(row.expand(len(points), -1), points).double().exp().sum() * float(axis[1] - axis[0]) ** 2
    assert float(total) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("space", "values"),
    [
        (Categorical(4), torch.arange(4)),
        (Bits(3), torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))),
        (Count(1, (6.0,), (3.0,)), torch.arange(4000.0)[:, None]),
        (
            Product(chained=True, a=Categorical(3), b=Bits(2), c=Categorical(2)),
            torch.cartesian_prod(torch.arange(3.0), *[torch.arange(2.0)] * 3),
        ),
    ],
    ids=["categorical", "bits", "count", "product"],
)
def test_probabilities_sum_to_one(space: Space, values: Tensor) -> None:
    for row in outputs_of(space, 4):
        total = space.log_prob(row.expand(len(values), -1), values).double().exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-3)


def cumulative(space: Space, row: Tensor, values: Tensor) -> Tensor:
    """F(y) of one-dimensional densities, by adding up."""
    points, lengths = line(space)
    density = space.log_prob(row.double().expand(len(points), -1), points).double().exp() * lengths
    return density.cumsum(0)[torch.searchsorted(points[:, 0].contiguous(), values.double()).clamp(max=len(points) - 1)]


@pytest.mark.parametrize("name", DENSITIES)
def test_samples_match_the_density(name: str) -> None:
    """Kolmogorov's distance of 2,000 samples; the limit is passed once in 10,000 such tests."""
    space, row, n = DENSITIES[name], outputs_of(DENSITIES[name], 1), 2000
    drawn = space.sample(row.expand(n, -1), source())[:, 0].sort().values
    distance = (cumulative(space, row, drawn) - (torch.arange(n) + 0.5) / n).abs().max()
    assert float(distance) < 2.23 / math.sqrt(n)


def test_control_samples_of_another_density_are_seen() -> None:
    space, row, n = DENSITIES["student_t"], outputs_of(DENSITIES["student_t"], 1), 2000
    drawn = Real(1, *UNIT).sample(row[:, :2].expand(n, -1), source())[:, 0].sort().values + 0.4
    assert float((cumulative(space, row, drawn) - (torch.arange(n) + 0.5) / n).abs().max()) > 2.23 / math.sqrt(n)


@pytest.mark.parametrize("name", ["categorical", "bits", "count", "product", "chained"])
def test_shares_of_samples_are_the_probabilities(name: str) -> None:
    space, n = SPACES[name], 6000
    row = outputs_of(space, 1)
    drawn = space.sample(row.expand(n, -1), source()).view(n, -1)
    if name in ("product", "chained"):  # of the first part; the others have densities
        shares = drawn[:, 0].long().bincount(minlength=3) / n
        torch.testing.assert_close(shares, row[0, :3].softmax(-1), atol=0.03, rtol=0)
        return
    for value in drawn.unique(dim=0)[:8]:
        share = float((drawn == value).all(1).float().mean())
        probability = float(space.log_prob(row, value.view(1, *space.event_shape)).exp())
        assert share == pytest.approx(probability, abs=0.03)


@pytest.mark.parametrize("name", SPACES)
def test_means_are_those_of_samples(name: str) -> None:
    space, n = SPACES[name], 8000
    row = outputs_of(space, 1, size=0.3)
    if space.symbols is not None or name == "chained":
        return  # a symbol has no mean; that of a chain is given the means before it
    drawn = space.sample(row.expand(n, -1), source()).double()
    part = slice(1, None) if name == "product" else slice(None)
    found, spread = drawn.mean(0)[part], drawn.std(0)[part]
    torch.testing.assert_close(space.mean(row)[0][part].double(), found, atol=float(0.06 * spread.max()), rtol=0.06)


def test_one_log_normal_is_far_from_exponential_gaps_and_a_mixture_is_not() -> None:
    """What docs/spaces.md says of the default of ``Positive``."""
    gaps = torch.empty(20_000, 1).exponential_(generator=source())
    alone, mixed = (Positive(1, likelihood=name).guess(gaps)["loss"] for name in ("gaussian", "mixture"))
    assert alone - 1 == pytest.approx(0.09, abs=0.02)
    assert mixed - 1 < 0.03
    assert math.exp(-0.5772 + math.pi**2 / 12) == pytest.approx(1.28, abs=0.005)  # the log-normal's mean


def naive(space: Any, row: Tensor, y: Tensor) -> Tensor:
    """log p(y) of one element by torch.distributions."""
    if isinstance(space, Categorical):
        return known.Categorical(logits=row).log_prob(y)
    if isinstance(space, Bits):
        return known.Bernoulli(logits=row).log_prob(y).sum()
    if isinstance(space, Count):
        log_mean, log_dispersion = row.chunk(2)
        r = (-log_dispersion).exp()
        return known.NegativeBinomial(r, probs=log_mean.exp() / (log_mean.exp() + r)).log_prob(y).sum()
    x, jacobian = (y.log(), -y.log().sum()) if isinstance(space, Positive) else (y, torch.zeros(()))
    if space.likelihood == "gaussian":
        mean, log_scale = row.chunk(2)
        return known.Normal(mean, log_scale.exp()).log_prob(x).sum() + jacobian
    if space.likelihood == "student_t":
        mean, log_scale, freedom = row.chunk(3)
        return known.StudentT(freedom, mean, log_scale.exp()).log_prob(x).sum() + jacobian
    logits, means, log_scales = row[:5], row[5 : 5 + 5 * space.d].view(5, -1), row[5 + 5 * space.d :].view(5, -1)
    parts = known.Independent(known.Normal(means, log_scales.exp()), 1)
    return known.MixtureSameFamily(known.Categorical(logits=logits), parts).log_prob(x) + jacobian


@pytest.mark.parametrize("name", [n for n in SPACES if n not in ("quantiles", "product", "chained")])
def test_the_likelihood_is_the_naive_one(name: str) -> None:
    space, rows = SPACES[name], 5
    outputs = outputs_of(space, rows)
    values = space.sample(outputs, source(1))
    expected = torch.stack([naive(space, row, y) for row, y in zip(outputs, values, strict=True)])
    torch.testing.assert_close(space.log_prob(outputs, values), expected, rtol=1e-4, atol=1e-4)


def test_the_likelihood_of_a_product_is_the_sum_of_its_parts() -> None:
    space, outputs = SPACES["product"], outputs_of(SPACES["product"], 7)
    assert isinstance(space, Product)
    values = space.sample(outputs, source(1))
    sizes = [one.readout_size for one in MIXED.values()]
    parts = zip(MIXED.values(), outputs.split(sizes, -1), space.split(values).values(), strict=True)
    torch.testing.assert_close(space.log_prob(outputs, values), sum(s.log_prob(o, v) for s, o, v in parts))


def test_the_likelihood_of_a_chain_is_that_of_its_naive_twin() -> None:
    """One element at a time, each part with the parameters that the parts before it leave."""
    first, second = Categorical(3), Real(1, (5.0,), (2.0,))
    space, raw = Product(chained=True, a=first, b=second), torch.randn(6, 3 + 2 * 4, generator=source())
    values = space.sample(space.parameters(raw), source(1))
    for numbers, value, found in zip(raw, values, space.log_prob(space.parameters(raw), values), strict=True):
        symbol = int(value[0])
        one_hot = torch.nn.functional.one_hot(torch.tensor(symbol), 3) * 3**0.5 / 3**0.5
        told = second.parameters(numbers[3:5] + numbers[5:].view(2, 3) @ one_hot)
        expected = first.log_prob(numbers[None, :3], value[None, 0].long())[0] + second.log_prob(told, value[1:])
        torch.testing.assert_close(found, expected)


def test_control_a_chain_depends_on_the_part_before_and_a_product_does_not() -> None:
    for chained, differs in ((True, True), (False, False)):
        space = Product(chained=chained, a=Categorical(3), b=Bits(1))
        row = outputs_of(space, 1, size=2.0)
        bits = [space.log_prob(row, torch.tensor([[float(a), 1.0]])) - row[:, :3].log_softmax(-1)[:, a] for a in (0, 2)]
        assert (abs(float(bits[0] - bits[1])) > 1e-3) == differs


def test_quantiles_never_cross_and_are_those_of_samples() -> None:
    space = Real(3, (1e5, 0.0, -2.0), (3.0, 1e-3, 50.0), likelihood="quantiles")
    wild = space.quantiles(outputs_of(space, 500, size=8.0))
    assert bool((wild.diff(dim=-1) >= 0).all())
    assert torch.isfinite(wild).all()
    row = outputs_of(space, 1, size=0.3)
    drawn = space.sample(row.expand(20_000, -1), source())
    found = torch.stack([(drawn <= q).float().mean(0) for q in space.quantiles(row)[0].T], dim=-1)
    torch.testing.assert_close(found, torch.tensor(LEVELS).expand(3, -1), atol=0.015, rtol=0)
    with pytest.raises(ValueError, match=r"Real.likelihood is 'gaussian'; only 'quantiles' has quantiles"):
        Real(1).quantiles(torch.zeros(1, 2))


@pytest.mark.parametrize("name", SPACES)
def test_gradients_are_finite_however_wild_the_outputs(name: str) -> None:
    space = SPACES[name]
    raw = (20 * torch.randn(40, space.readout_size, generator=source())).requires_grad_()
    values = space.example(40, generator=source(1))
    losses = -space.log_prob(space.parameters(raw), values)
    assert torch.isfinite(losses).all()
    assert torch.isfinite(torch.autograd.grad(losses.sum(), raw)[0]).all()


@pytest.mark.parametrize("name", SPACES)
def test_outputs_that_are_not_finite_are_never_drawn_from(name: str) -> None:
    space = SPACES[name]
    with pytest.raises(ValueError, match="the network's outputs are not finite"):
        space.sample(torch.full((2, space.readout_size), torch.nan), source())


@pytest.mark.parametrize("name", SPACES)
def test_temperature_0_draws_the_same_whatever_the_noise(name: str) -> None:
    space, outputs = SPACES[name], outputs_of(SPACES[name], 3)
    first, second = (Sampling(temperature=0).draw(space, outputs, source(seed)) for seed in (0, 1))
    assert torch.equal(first, second)
    space.check("drawn", first)


@pytest.mark.parametrize("name", SPACES)
def test_the_constant_guess_is_no_worse_than_what_made_the_values(name: str) -> None:
    space = SPACES[name]
    row = outputs_of(space, 1, size=0.2)
    values = space.sample(row.expand(2000, -1), source())
    truth = -float(space.log_prob(row.expand(2000, -1), values).mean())
    guess = space.guess(values)["loss"]
    assert guess <= truth + 0.25  # of a chain, the guess takes parts for independent; of a t, a Gaussian
    assert space.knowable(values) > 0
