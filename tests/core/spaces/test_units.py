"""Data of another unit than before is named."""

import pytest

from nounroll.core.spaces import Bits, Categorical, Count, Positive, Product, Real, Space
from nounroll.core.spaces.units import other_unit

OLD = Real(2, shift=[0.0, 100.0], scale=[1.0, 5.0])


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (OLD, ""),
        (Real(2, shift=[3.0, 90.0], scale=[2.0, 10.0]), ""),
        (
            Real(2, shift=[0.0, 1.0], scale=[1.0, 0.05]),
            "number 1 has mean 1 and spread 0.05, and had mean 100 and spread 5",
        ),
        (Real(2), "number 1 has mean 0 and spread 1, and had mean 100 and spread 5"),
        (
            Real(2, shift=[0.0, 100.0], scale=[20.0, 5.0]),
            "number 0 has mean 0 and spread 20, and had mean 0 and spread 1",
        ),
        (Real(2, shift=[0.0, 100.0], scale=[1.0, 0.4]), "number 1 has mean 100 and spread 0.4, and had"),
    ],
    ids=str,
)
def test_numbers_far_from_what_they_were_are_named(now: Space, said: str) -> None:
    found = other_unit(now, OLD)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_parts_are_looked_at_and_symbols_have_no_unit() -> None:
    def of(scale: float) -> Space:
        return Product(
            kind=Categorical(3), on=Bits(2), gap=Positive(1), n=Count(1), value=Real(1, shift=[0.0], scale=[scale])
        )

    assert other_unit(of(2.0), of(1.0)) == ""
    assert other_unit(of(50.0), of(1.0)).startswith("number 2 has")
    assert other_unit(Categorical(4), Categorical(4)) == ""
