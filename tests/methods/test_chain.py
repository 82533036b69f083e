"""Chains of methods by name."""

import re

import pytest

from nounroll.methods import check_taught, parse_chain, settings_read

IT_MUST_BE = "it must be a chain of smt, dmt, tbptt, bptt, such as smt+dmt, or adapt or the baseline transformer alone"


@pytest.mark.parametrize(
    ("method", "links"),
    [
        ("smt", ("smt",)),
        ("bptt", ("bptt",)),
        ("smt+dmt", ("smt", "dmt")),
        ("tbptt", ("tbptt",)),
        ("smt + dmt+bptt", ("smt", "dmt", "bptt")),
        ("smt+tbptt", ("smt", "tbptt")),
        ("tbptt+smt+dmt+bptt", ("tbptt", "smt", "dmt", "bptt")),
        ("bptt+smt", ("bptt", "smt")),
        ("smt+bptt+dmt", ("smt", "bptt", "dmt")),
        ("transformer", ("transformer",)),
        ("adapt", ("adapt",)),
    ],
)
def test_a_chain(method: str, links: tuple[str, ...]) -> None:
    assert parse_chain(method) == links


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("", IT_MUST_BE),
        ("sgd", IT_MUST_BE),
        ("smt+", IT_MUST_BE),
        ("SMT", IT_MUST_BE),
        ("transformer+dmt", IT_MUST_BE),
        ("auto", IT_MUST_BE),
        ("smt+smt", "each link may come once"),
        ("tbptt+bptt+tbptt", "each link may come once"),
    ],
)
def test_no_chain(method: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'method is {method!r}; {reason}')}$"):
        parse_chain(method)


@pytest.mark.parametrize("method", ["dmt", "dmt+smt", "tbptt+dmt", "bptt+dmt"])
def test_without_a_teacher_that_is_given_dmt_needs_smt_before_it(method: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'method is {method!r}; dmt needs smt before it')}"):
        check_taught(method)
    for taught in ("smt+dmt", "tbptt", "smt+tbptt+dmt"):
        check_taught(taught)


@pytest.mark.parametrize(
    ("method", "read"),
    [
        ("bptt", {"training", "readout_width", "cell"}),
        ("tbptt", {"training", "readout_width", "cell", "tbptt"}),
        ("smt+tbptt", {"training", "readout_width", "cell", "smt", "tbptt", "teacher"}),
        ("smt+dmt", {"training", "readout_width", "cell", "smt", "dmt", "teacher"}),
        ("smt+dmt+bptt", {"training", "readout_width", "cell", "smt", "dmt", "teacher"}),
        ("transformer", {"training", "teacher"}),
    ],
)
def test_which_settings_a_chain_reads(method: str, read: set[str]) -> None:
    assert settings_read(method) == read
