"""``training.compile``: the same losses as without. In processes of their own: the compiler traces no type checks."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import lightning_fabric, torch
from nounroll import fit
from nounroll.data.parity import Parity
import nounroll.training.loop as loop, nounroll.training.pace as pace

method, backend = sys.argv[1:]
compile_, traced = torch.compile, []

def by_backend(model):
    traced.append(type(model.module).__name__)
    return compile_(model, backend=backend)

torch.compile = by_backend
loop._LOGGED = 1
pace.step_cost = lambda *_: {"flops": 0.0, "sequential_flops": 0.0}
SMALL = {
    "cell.tokens": 2, "cell.memory_width": 8, "cell.width": 16, "readout_width": 16,
    "teacher.width": 16, "teacher.heads": 2, "teacher.layers": 1,
    "smt.decoding": 1.0, "smt.share": 1.0, "dmt.dynamics": 1.0, "dmt.decoding": 1.0, "dmt.window": 3,
    "tbptt.window": 3, "training.batch_size": 4, "training.evaluations": 1, "training.curriculum": 0,
}
steps, found = 2 * len(method.split("+")), []
for compiled in (False, True):
    settings = {**SMALL, "training.compile": compiled}
    run = fit(Parity(), method=method, cell="mlp", length=8, steps=steps, settings=settings)
    found.append([record["loss"] for record in run.history if record["event"] == "train"])
frames = torch._dynamo.utils.counters["frames"]["ok"]
print(json.dumps({"plain": found[0], "compiled": found[1], "traced": traced, "frames": frames}))
"""


def losses(method: str, backend: str) -> dict[str, list[float]]:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, method, backend],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


def check(method: str, backend: str) -> None:
    found, names = losses(method, backend), method.upper().split("+")
    assert found["traced"] == names
    assert found["frames"] > len(names)
    assert len(found["plain"]) == 2 * len(names)
    assert found["compiled"] == pytest.approx(found["plain"], abs=1e-5)


@pytest.mark.nightly
def test_a_traced_loss_is_the_loss() -> None:
    """By the tracer alone, the compiler takes too long here."""
    check("smt+tbptt", "eager")


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_compiled_losses_are_the_losses() -> None:
    check("smt+dmt+tbptt+bptt", "inductor")
