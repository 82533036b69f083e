"""Products: how parts sit beside each other in one array, and what is refused."""

import math

import numpy as np
import pytest
import torch

from all_spaces import MIXED, source
from nounroll.core.batch import Batch
from nounroll.core.spaces import Bits, Categorical, Count, Positive, Product, Real
from nounroll.data.padding import without_padding

SPACE = Product(**MIXED)  # kind (3 symbols), gap (positive), keys (2 bits), value (real)


def test_join_and_split_are_inverse_and_keep_the_order_of_the_parts() -> None:
    parts = {
        "value": np.array([[1.5], [-2.0]], np.float32),
        "kind": np.array([2, 0]),
        "keys": torch.tensor([[0, 1], [1, 1]]),
        "gap": torch.tensor([[0.5], [3.0]]),
    }
    joined = SPACE.join(**parts)
    assert joined.tolist() == [[2, 0.5, 0, 1, 1.5], [0, 3, 1, 1, -2]]
    assert SPACE.columns == ["kind", "gap", "keys.0", "keys.1", "value"]
    again = SPACE.split(joined)
    assert again["kind"].dtype == torch.int64
    for name, values in parts.items():
        assert torch.equal(again[name], torch.as_tensor(values).to(again[name].dtype))
    assert torch.equal(SPACE.join(**again), joined)


def test_a_part_may_be_a_product() -> None:
    space = Product(when=Positive(1), what=Product(kind=Categorical(3), size=Count(1)))
    assert space.event_shape == (3,)
    values = space.sample(torch.zeros(4, space.readout_size), source())
    space.check("x", values)
    assert space.log_prob(torch.zeros(4, space.readout_size), values).shape == (4,)
    assert space.columns == ["when", "what.kind", "what.size"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"kind": [1]}, "join got kind; the parts are kind, gap, keys, value"),
        (
            {"kind": [1], "gap": [0.5], "keys": [[0, 1]], "value": [[1.0]]},
            r"gap has shape \(1,\); Positive\(d=1\) needs",
        ),
    ],
)
def test_join_refuses_what_does_not_fit(arrays: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.join(**arrays)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, 3.0, r"x holds 3 at index \(0, 1, 0\), the column 'kind'; that part is Categorical\(n=3\)"),
        (0, 0.5, r"x holds 0.5 at index \(0, 1, 0\), the column 'kind'"),
        (0, math.nan, r"x holds nan at index \(0, 1, 0\), the column 'kind'"),
        (0, math.inf, r"x holds inf at index \(0, 1, 0\), the column 'kind'"),
        (1, 0.0, r"x holds 0 at index \(0, 1, 1\), the column 'gap'; that part is Positive\(d=1\)"),
        (3, 2.0, r"x holds 2 at index \(0, 1, 3\), the column 'keys.1'; that part is Bits\(n=2\)"),
        (4, math.inf, r"x holds inf at index \(0, 1, 4\), the column 'value'; that part is Real\(d=1\)"),
    ],
)
def test_a_value_outside_its_part_is_named(column: int, value: float, message: str) -> None:
    values = SPACE.zeros(1, 2)
    SPACE.check("x", values)
    values[0, 1, column] = value
    with pytest.raises(ValueError, match=message):
        SPACE.check("x", values)


def test_padding_of_each_part_is_replaced_by_its_own() -> None:
    x = torch.full((1, 3, 5), math.nan)
    x[:, :1] = torch.tensor([2.0, 0.5, 1, 0, 7])
    cleared = without_padding(Batch(x, x.clone(), torch.tensor([[True, False, False]])), SPACE, SPACE)
    assert cleared.inputs[0].tolist() == [[2, 0.5, 1, 0, 7], [0, 1, 0, 0, 0], [0, 1, 0, 0, 0]]
    assert torch.equal(cleared.targets, cleared.inputs)


def test_what_is_drawn_can_be_read_where_names_and_parts_fit() -> None:
    assert SPACE.holds(Product(chained=True, **MIXED))
    assert Product(kind=Categorical(4), gap=Real(1)).holds(Product(kind=Categorical(3), gap=Positive(1)))
    assert not Product(kind=Categorical(2)).holds(Product(kind=Categorical(3)))
    assert not Product(a=Bits(1), b=Bits(1)).holds(Product(b=Bits(1), a=Bits(1)))
    assert Real(2).holds(Bits(2))
    assert not Bits(2).holds(Real(2))
    assert not Real(1).holds(Categorical(1))


def test_the_scale_of_each_part_is_measured() -> None:
    generator = source()
    values = SPACE.join(
        kind=torch.randint(3, (500,), generator=generator),
        gap=(3 + 0.5 * torch.randn(500, 1, generator=generator)).exp(),
        keys=torch.randint(2, (500, 2), generator=generator),
        value=1e6 + torch.randn(500, 1, generator=generator),
    )
    open_ = Product(kind=Categorical(3), gap=Positive(1), keys=Bits(2), value=Real(1))
    assert open_.unmeasured
    found = dict(open_.measured("x", values, targets=True).parts)
    gap, value = found["gap"], found["value"]
    assert isinstance(gap, Positive)
    assert isinstance(value, Real)
    assert gap.shift == pytest.approx([3], abs=0.1)
    assert gap.scale == pytest.approx([0.5], rel=0.1)
    assert value.shift == pytest.approx([1e6], rel=1e-6)
    assert not Product(**found).unmeasured
    entered = Product(**found).enter(values)
    assert float(entered[:, 3:].abs().max()) < 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Product(), "Product has no parts; name at least one"),
        (lambda: Product(a=Categorical(2**25)), r"Product\.a is Categorical\(n=33554432\); a part has at most"),
        (lambda: Real(1, likelihood="cauchy"), r"Real\.likelihood is 'cauchy'; it must be one of gaussian, student_t"),
        (
            lambda: Positive(1, likelihood="quantiles"),
            r"Positive\.likelihood is 'quantiles'; it must be one of mixture",
        ),
        (lambda: Bits(0), r"Bits\.n is 0"),
    ],
    ids=["empty", "large", "likelihood", "positive", "bits"],
)
def test_a_space_that_cannot_be_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("space", "value", "message"),
    [
        (Bits(2), 0.5, "Bits arrays hold 0 and 1 alone"),
        (Positive(2), 0.0, "Positive arrays must be finite and above 0"),
        (Count(2), 1.5, "Count arrays hold whole numbers"),
        (Count(2), -1.0, "Count arrays hold whole numbers"),
        (Real(2), math.inf, "Real arrays must be finite"),
    ],
)
def test_values_outside_a_space_are_named(space: Bits | Positive | Count | Real, value: float, message: str) -> None:
    values = space.zeros(1, 3)
    values[0, 1, 1] = value
    with pytest.raises(ValueError, match=rf"^x holds {value:g} at index \(0, 1, 1\); {message}"):
        space.check("x", values)


def test_whole_numbers_and_booleans_become_floats_where_they_are_values() -> None:
    for space in (Bits(1), Count(1), Positive(1), SPACE):
        assert space.convert(torch.ones(1, 1, dtype=torch.int64)).dtype == torch.float32
    assert Bits(1).convert(torch.ones(1, 1, dtype=torch.bool)).tolist() == [[1.0]]
    assert Real(1).convert(torch.ones(1, 1, dtype=torch.int64)).dtype == torch.int64  # symbols, most likely
