"""A value that has its type already is what the parser of the command line makes of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from nounroll.core import conversion
from nounroll.core.conversion import convert

TYPES = (
    *(int, float, bool, str, int | None, float | None, str | None, bool | str, int | float, Path | None),
    *(Literal["a", "1"], Literal[1, "a"], Literal["a"] | None, tuple[int, int], list[str] | None, Mapping[str, Any]),
)
VALUES = (0, 1, -3, 2**70, 1.0, 0.5, float("inf"), True, False, None, "", "a", "1", "true", "null", [1, 2], ["a"], {})


def outcome(wanted: Any, value: Any) -> Any:
    """The value and its type, or that it was refused."""
    try:
        found = convert(wanted, value)
    except Exception:
        return "refused"
    return type(found), found


def differing() -> list[tuple[Any, Any]]:
    ours = {(i, j): outcome(t, v) for i, t in enumerate(TYPES) for j, v in enumerate(VALUES)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "_has_type", lambda *_: False)
        return [(TYPES[i], VALUES[j]) for (i, j), found in ours.items() if found != outcome(TYPES[i], VALUES[j])]


def test_a_value_that_is_passed_through_is_what_the_parser_makes_of_it() -> None:
    assert differing() == []


def test_control_a_value_that_should_have_been_converted_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_has_type", lambda wanted, value: type(value) is int)
    assert (float, 1) in differing()


def test_plain_values_need_no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jsonargparse.ArgumentParser", None)
    assert [outcome(int, 3), outcome(float | None, None), outcome(Literal["a"], "a")] == [
        (int, 3),
        (type(None), None),
        (str, "a"),
    ]
    assert outcome(float, 3) == "refused"  # control: this one does
