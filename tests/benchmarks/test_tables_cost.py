"""A large table becomes sequences in seconds and within a bound of memory."""

import pytest

pytest.importorskip("pandas")
pytest.importorskip("pyarrow.csv")

import tables  # it needs what is skipped for above


def test_a_tenth_of_a_million_rows_is_read_in_a_tenth_of_the_time() -> None:
    found = tables.measured(100_000)
    assert found["cpu"] < 2
    assert found["mib"] < 250


@pytest.mark.nightly
def test_a_million_rows_are_read_in_20_seconds_and_a_gigabyte() -> None:
    found = tables.measured(1_000_000)
    assert found["seconds"] < 20
    assert found["mib"] < 1000
