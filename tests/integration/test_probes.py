"""Every made-up task trains, by every method in one chain, from Python."""

import math
from typing import Any

import pytest

import nounroll
from nounroll.data import build

PROBES: dict[str, dict[str, Any]] = {
    "retrieval": {},
    "copy": {"reverse": True},
    "parity": {"scored": 0.5},
    "modular_sum": {"classes": 2, "scored": 0.5},
    "modular_arithmetic": {"coefficients": 3},
    "stack": {"tops": 0.0},
    "keys_values": {"pairs": 2, "mqar": True},
    "recency_primacy": {"primacy": True, "distance": 3},
}

SMALL: dict[str, Any] = {
    "readout_width": 16,
    "teacher.width": 16,
    "training.batch_size": 4,
    "training.evaluations": 1,
}


@pytest.mark.parametrize("kind", PROBES)
def test_it_trains(kind: str) -> None:
    task = build(kind, PROBES[kind])
    run = nounroll.fit(task, method="smt+dmt+tbptt+bptt", cell="mlp", length=8, steps=8, settings=SMALL)
    assert math.isfinite(run.metrics["loss"])
    assert run.student.rollout(task.prompt()[None]).shape[1] == 2
