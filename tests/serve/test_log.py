"""The log: as much as a person reads, whatever clients provoke."""

import io
import logging

import pytest

pytest.importorskip("fastapi")

from nounroll.serve.log import LimitedHandler


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("nounroll.serve.log.time.monotonic", lambda: now[0])
    return now


def test_records_are_bounded_in_number_and_length(clock: list[float]) -> None:
    handler, written = LimitedHandler(), io.StringIO()
    handler.setStream(written)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    for i in range(1000):
        logger.error("%d %s", i, "x" * 10_000)
    lines = written.getvalue().splitlines()
    assert len(lines) == 20
    assert all(len(line) < 4100 for line in lines)
    assert lines[0].endswith("characters)")
    clock[0] += 61
    logger.error("later")
    assert written.getvalue().splitlines()[20:] == ["980 records were left out of the log", "ERROR: later"]
