import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.data import checks
from nounroll.data.files import existing


@settings(max_examples=50, deadline=None)
@given(data=st.data(), count=st.integers(1, 40), width=st.integers(0, 3), block=st.integers(1, 50))
def test_blocks_find_what_the_whole_array_shows(data: st.DataObject, count: int, width: int, block: int) -> None:
    shape = (count, width) if width else (count,)
    size = count * max(1, width)
    tokens = np.array(data.draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))).reshape(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "_BLOCK", block)
        assert checks.largest_symbol(tokens) == tokens.max()
        checks.within_space("t", tokens, 10)
        place = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
        tokens[place] = 10
        where = place[0] if len(place) == 1 else place
        message = f"t holds 10 at position {where}; the tokens must be 0..9"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            checks.within_space("t", tokens, 10)


@pytest.mark.parametrize("value", [True, "3", 3.0, None])
def test_only_an_int_is_a_whole_number(value: object) -> None:
    with pytest.raises(ValueError, match=r"^a\.b is .*; it must be a whole number, at least 1$"):
        checks.whole_number("a.b", value, 1)
    with pytest.raises(ValueError, match=r"^a\.b is .*; it must be a whole number, between 1 and 5$"):
        checks.whole_number("a.b", value, 1, 5)


def test_only_a_bool_is_a_flag() -> None:
    checks.flag("a.b", False)
    with pytest.raises(ValueError, match=r"^a\.b is 'yes'; it must be true or false$"):
        checks.flag("a.b", "yes")


def test_only_a_path_is_a_path() -> None:
    with pytest.raises(ValueError, match=r"^a\.b is 3; it must be the path of a file or folder$"):
        existing("a.b", 3)


@pytest.mark.parametrize("value", [True, "3", None])
def test_only_an_int_or_a_float_is_a_number(value: object) -> None:
    assert checks.number("a.b", 3) == 3
    with pytest.raises(ValueError, match=r"^a\.b is .*; it must be a number$"):
        checks.number("a.b", value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_fraction_is_within_0_and_1(value: float) -> None:
    checks.fraction("a.b", 0)
    checks.fraction("a.b", 1.0)
    with pytest.raises(ValueError, match=r"^a\.b is .*; it must be within 0 and 1$"):
        checks.fraction("a.b", value)
