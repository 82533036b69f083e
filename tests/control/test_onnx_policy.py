"""A policy in ONNX acts as the one in torch does, and needs no torch."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers import make_student
from nounroll.core.spaces import Categorical, Real
from nounroll.export import export
from nounroll.models.student import Student

for package in ("gymnasium", "onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package)
from nounroll.control import CartPole, collect  # noqa: E402

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "act_onnx.py"
EPISODES = 4


@pytest.fixture(scope="module")
def student() -> Student:
    return make_student("gru", Real(2, [0] * 2, [0.03] * 2), Categorical(2), seed=1, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def folder(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    export(student, "onnx", folder)
    return folder


@pytest.mark.nightly
def test_a_policy_in_onnx_acts_as_in_torch(student: Student, folder: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "step.onnx")
    begun = json.loads((folder / "step.json").read_text())["initial_memory"]
    seen = set[int]()
    for episode in collect(CartPole, student=student, episodes=EPISODES):
        memory, actions = np.array([begun], dtype=np.float32), []
        for shown in episode.observations[:-1].numpy():
            memory, logits = session.run(None, {"inputs": shown[None], "memory": memory})
            actions.append(int(logits.argmax()))
        assert actions == episode.actions.tolist()
        seen |= set(actions)
    assert len(seen) == 2  # they differ, so that a wrong one would show


@pytest.mark.nightly
def test_the_example_plays_the_same_episodes_without_torch(student: Student, folder: Path) -> None:
    script = (
        "import sys, runpy; sys.argv[1:] = [sys.argv[1], 'CartPole-v1', '0,2', '4'];"
        f"runpy.run_path({str(EXAMPLE)!r}, run_name='__main__'); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    returns = [float(line.rpartition(" ")[2]) for line in done.stdout.splitlines()]
    assert returns == list(collect(CartPole, student=student, episodes=EPISODES).returns.values)


def test_the_example_acts_as_the_policy_does(
    student: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the translation to ONNX, which takes its time: the network stands in for its graph."""

    class StandIn:
        def __init__(self, path: Path, providers: list[str]) -> None:
            assert path == tmp_path / "step.onnx"

        @torch.no_grad()
        def run(self, names: None, given: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
            memory = student.step(torch.from_numpy(given["inputs"]), torch.from_numpy(given["memory"]))
            return memory.numpy(), student.readout(memory).numpy()

    monkeypatch.setattr("onnxruntime.InferenceSession", StandIn)
    (tmp_path / "step.json").write_text(json.dumps({"initial_memory": student.empty_memory.tolist()}))
    runpy.run_path(str(EXAMPLE))["main"](str(tmp_path), "CartPole-v1", "0,2", str(EPISODES))
    returns = [float(line.rpartition(" ")[2]) for line in capsys.readouterr().out.splitlines()]
    assert returns == list(collect(CartPole, student=student, episodes=EPISODES).returns.values)
    assert len(set(returns)) > 1
