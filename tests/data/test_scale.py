"""The scale that is measured of real inputs and targets before training."""

import pytest
import torch
from torch import Tensor

import nounroll
from nounroll.core.batch import Batch, Categorical, Real
from nounroll.data.scale import measured
from nounroll.experiments.facts import look


class Given(nounroll.SequenceTask):
    """Rows drawn with replacement from arrays (N, T, ...)."""

    def __init__(self, inputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> None:
        self.x, self.y, self.m = inputs, targets, mask
        self.inputs = Real(inputs.shape[-1]) if inputs.is_floating_point() else Categorical(int(inputs.max()) + 1)
        self.targets = Real(targets.shape[-1])

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        rows = torch.randint(len(self.x), (batch_size,), generator=generator)
        mask = torch.ones(batch_size, length, dtype=torch.bool) if self.m is None else self.m[rows, :length]
        return Batch(self.x[rows, :length], self.y[rows, :length], mask)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def space_of(values: Tensor) -> Real:
    found = measured(Given(values, values), values.shape[1])[0]
    assert isinstance(found, Real)
    return found


@pytest.mark.parametrize("size", [1e-15, 1e-5, 1.0, 1e5, 1e9, 1e15])
def test_standardised_values_are_the_same_for_every_unit(size: float) -> None:
    values = 3 + 2 * normal(400, 10, 2)
    found = space_of(size * values)
    assert found.shift == pytest.approx([3 * size] * 2, rel=0.1)
    assert found.scale == pytest.approx([2 * size] * 2, rel=0.1)
    torch.testing.assert_close(found.standardise(size * values), space_of(values).standardise(values))


def test_what_is_standardised_already_is_left_as_it_is() -> None:
    assert space_of(normal(400, 10, 3)).scale is None
    assert space_of(1.5 * normal(400, 10, 3)).scale is not None


def test_columns_of_different_units_are_measured_apart() -> None:
    values = normal(400, 10, 2) * torch.tensor([1e6, 1e-3]) + torch.tensor([5e6, 0.0])
    standard = space_of(values).standardise(values)
    assert standard.mean((0, 1)).tolist() == pytest.approx([0, 0], abs=0.05)
    assert standard.std((0, 1)).tolist() == pytest.approx([1, 1], abs=0.05)


def test_a_constant_column_stays_a_constant_of_size_1() -> None:
    for constant, wanted in ((7e8, 1.0), (-3.0, -1.0), (0.0, 0.0)):
        values = torch.cat([normal(40, 10, 1), torch.full((40, 10, 1), constant)], -1)
        assert space_of(values).standardise(values)[..., 1].unique().tolist() == pytest.approx([wanted])


def test_a_rare_event_does_not_become_huge() -> None:
    values = 2.0 * (torch.rand(2000, 10, 1, generator=torch.Generator().manual_seed(0)) < 0.001)
    assert 3 < float(space_of(values).standardise(values).max()) <= 10.5


def test_padding_is_no_data() -> None:
    """Behind the last scored step there are zeros, which no scale should know of."""
    values, mask = 100 + normal(50, 20, 1), torch.arange(20).expand(50, -1) < 5
    padded = torch.where(mask[..., None], values, 0.0)
    found = measured(Given(padded, padded, mask), 20)
    for space in found:
        assert isinstance(space, Real)
        assert space.shift == pytest.approx([100], abs=0.5)
        assert space.scale == pytest.approx([1], rel=0.3)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_what_single_precision_cannot_square_is_refused(size: float) -> None:
    values = size * normal(50, 4, 1)
    with pytest.raises(ValueError, match=r"^Given: inputs\[\.\.\., 0\] have the magnitude .*; single precision needs"):
        look(Given(values, values), 4, 0)


def test_the_scale_depends_on_no_seed_and_a_given_scale_is_kept() -> None:
    values = 1e5 * normal(400, 10, 1)
    first, other = (look(Given(values, values), 10, seed) for seed in (0, 1))
    assert isinstance(first.inputs, Real)
    assert isinstance(other.inputs, Real)
    assert first.inputs.scale == other.inputs.scale != None  # noqa: E711
    task = Given(values, values)
    task.inputs = task.targets = Real(1, (0.0,), (1.0,))
    assert look(task, 10, 0).inputs.scale == (1.0,)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("shift", "scale", "message"),
    [
        (None, (1.0,), "go together"),
        ((0.0, 0.0), (1.0,), "Real.shift is .*; it must be 1 finite numbers"),
        ((0.0,), (0.0,), "Real.scale is .*; it must be 1 finite numbers above 0"),
        ((float("nan"),), (1.0,), "Real.shift is"),
        ((0.0,), (float("inf"),), "Real.scale is"),
    ],
)
def test_a_scale_that_cannot_be_is_refused(shift: object, scale: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Real(1, shift, scale)  # type: ignore[arg-type]


# -- bits that are said to be real ------------------------------------------------------------------------


def bits(*shape: int) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(0)) < 0.3).float()


def test_targets_of_0_and_1_alone_are_refused_with_advice() -> None:
    values = bits(50, 8, 3)
    with pytest.raises(ValueError, match=r"^Given: targets are 0 and 1 alone, and Real\(3\) would predict") as e:
        look(Given(values, values), 8, 0)
    assert "nounroll.Bits(3)" in str(e.value)
    some = torch.cat([values, torch.zeros(50, 8, 1)], -1)  # one key of a piano that is never struck
    with pytest.raises(ValueError, match=r"nounroll\.Bits\(4\)"):
        measured(Given(some, some), 8)


@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_targets_that_never_change_are_no_bits(constant: float) -> None:
    values = torch.full((50, 8, 2), constant)
    values[..., 1] = 1.0
    assert measured(Given(values, values), 8)[1].event_shape == (2,)


def test_inputs_of_0_and_1_are_read_as_numbers() -> None:
    assert measured(Given(bits(50, 8, 3), normal(50, 8, 1)), 8)[0].event_shape == (3,)


def test_control_a_third_value_is_no_bit() -> None:
    values = bits(50, 8, 3)
    values[0, 0, 0] = 0.5
    assert measured(Given(values, values), 8)[1].event_shape == (3,)


def test_a_part_of_a_product_is_refused_by_its_name() -> None:
    class Mixed(Given):
        def __init__(self) -> None:
            super().__init__(bits(50, 8, 3), bits(50, 8, 3))
            self.inputs = self.targets = nounroll.Product(keys=Real(2), pedal=nounroll.Bits(1))

    with pytest.raises(ValueError, match=r"^Mixed: targets, part 'keys' are 0 and 1 alone, and Real\(2\) would"):
        measured(Mixed(), 8)
