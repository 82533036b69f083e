"""Stops are found where a search through the whole text finds them, after each character."""

import itertools

import pytest

pytest.importorskip("fastapi")

from nounroll.serve.stops import Stops


def searched(text: str, stops: list[str]) -> tuple[int | None, int]:
    """Where the first stop begins that has ended, and how much of the text may begin one."""
    for end in range(len(text) + 1):
        places = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if places:
            return min(places), 0
    begun = [k for stop in stops for k in range(1, len(stop)) if text.endswith(stop[:k])]
    return None, max(begun, default=0)


@pytest.mark.parametrize(
    "stops", [[], ["a"], ["ab"], ["aab", "b"], ["abab", "aba"], ["aabaac"], ["ba", "abb", "bbb", "aaaa"]], ids=str
)
def test_every_text_of_two_letters(stops: list[str]) -> None:
    for text in map("".join, itertools.product("ab", repeat=8)):
        found = Stops(stops)
        for end, character in enumerate(text, start=1):
            found.add(character)
            place, held = searched(text[:end], stops)
            assert found.found == place, text[:end]
            if place is not None:
                break
            assert found.held == held, text[:end]


def test_parts_of_several_characters() -> None:
    stops = Stops(["cd", "e"])
    stops.add("abc")
    assert (stops.found, stops.held) == (None, 1)
    stops.add("dex")
    assert stops.found == 2
