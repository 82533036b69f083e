"""Chains of methods by name."""

import re

import pytest

from nounroll.methods import parse_chain


@pytest.mark.parametrize(
    ("method", "links"),
    [
        ("smt", ("smt",)),
        ("bptt", ("bptt",)),
        ("smt+dmt", ("smt", "dmt")),
        ("smt + dmt+bptt", ("smt", "dmt", "bptt")),
        ("bptt+smt", ("bptt", "smt")),
        ("smt+bptt+dmt", ("smt", "bptt", "dmt")),
        ("transformer", ("transformer",)),
    ],
)
def test_a_chain(method: str, links: tuple[str, ...]) -> None:
    assert parse_chain(method) == links


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("", "it must be a chain of smt, dmt, bptt, such as smt+dmt, or the baseline transformer alone"),
        ("sgd", "it must be a chain of smt, dmt, bptt, such as smt+dmt, or the baseline transformer alone"),
        ("smt+", "it must be a chain of smt, dmt, bptt, such as smt+dmt, or the baseline transformer alone"),
        ("SMT", "it must be a chain of smt, dmt, bptt, such as smt+dmt, or the baseline transformer alone"),
        ("transformer+dmt", "it must be a chain of smt, dmt, bptt, such as smt+dmt, or the baseline transformer alone"),
        ("dmt", "dmt needs smt before it: there is no teacher otherwise"),
        ("dmt+smt", "dmt needs smt before it: there is no teacher otherwise"),
        ("bptt+dmt", "dmt needs smt before it: there is no teacher otherwise"),
        ("smt+smt", "each link may come once"),
    ],
)
def test_no_chain(method: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'method is {method!r}; {reason}')}$"):
        parse_chain(method)
