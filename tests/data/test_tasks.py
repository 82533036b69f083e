"""What holds for every task, and the registry."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nounroll.data import TASKS, build, describe
from nounroll.data.task import SequenceTask, draw

PROBES = [
    *("retrieval", "copy", "parity", "modular_sum", "modular_arithmetic", "stack", "keys_values", "recency_primacy"),
]
SHORT = {"recency_primacy": {"distance": 2}}  # for the shortest sequences below


@pytest.fixture(params=[*PROBES, "text", "digits", "array", "series"])
def task(request: pytest.FixtureRequest, tmp_path: Path) -> SequenceTask:
    options: dict[str, object] = dict(SHORT.get(request.param, {}))
    if request.param == "digits":
        pytest.importorskip("sklearn")
    if request.param == "array":
        options["path"] = str(tmp_path / "a.npy")
        np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 9, 5000))
    if request.param == "series":
        options["path"] = str(tmp_path / "s.csv")
        np.savetxt(tmp_path / "s.csv", np.random.default_rng(0).normal(size=(5000, 2)), delimiter=",")
    return build(request.param, options)


def same(one: SequenceTask, other: SequenceTask, step: int = 0) -> bool:
    a, b = draw(one, 7, 33, 5, "train"), draw(other, 7, 33, 5, "train", step)
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("inputs", "targets", "mask"))


def test_a_draw_is_a_function_of_its_seed(task: SequenceTask) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert same(task, task)
    assert not same(task, task, step=1)
    assert torch.equal(before, torch.random.get_rng_state())  # no global randomness is used up


@pytest.mark.parametrize("length", [4, 5, 16, 63])
def test_lengths_and_parts(task: SequenceTask, length: int) -> None:
    for part in (task, task.validation(), task.test()):
        assert draw(part, 3, length, 0, "any").mask.any()
        assert (part.inputs, part.targets) == (task.inputs, task.targets)
        prompt = part.prompt()
        part.inputs.check("prompt", prompt)
        assert prompt.shape == (1, *part.inputs.event_shape)


def test_autoregressive_tasks_predict_their_next_input(task: SequenceTask) -> None:
    batch = draw(task, 9, 20, 0, "train")
    if batch.targets.shape == batch.inputs.shape:
        assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1]) == task.autoregressive


def test_every_task_describes_itself() -> None:
    for kind in TASKS:
        summary, options = describe(kind)
        assert 20 < len(summary) <= 120
        assert summary.endswith(".")
        assert all(option.type for option in options)
    assert [tuple(o) for o in describe("copy")[1]] == [("symbols", "int", 8, False), ("reverse", "bool", False, False)]
    assert [tuple(o) for o in describe("array")[1]] == [
        ("path", "str | Path", None, True),
        ("symbols", "int | None", None, False),
        ("dtype", "str | None", None, False),
        ("held_out", "str | Path | None", None, False),
        ("stream", "bool", False, False),
    ]
    assert describe("digits")[1] == []


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("queue", {}, f"task.kind is 'queue'; it must be one of {', '.join(TASKS)}"),
        ("retrieval", {"value": 3}, "task.options.value is not an option of retrieval; it takes values"),
        ("digits", {"n": 3}, "task.options.n is not an option of digits; it takes no options"),
        ("retrieval", {"values": "x"}, "task.options.values is 'x'; expected int"),
        ("retrieval", {"values": None}, "task.options.values is None; expected int"),
        ("retrieval", {"values": True}, "task.options.values is True; expected int"),
        ("retrieval", {"values": [3]}, "task.options.values is [3]; expected int"),
        ("copy", {"reverse": 2}, "task.options.reverse is 2; expected bool"),
        ("array", {}, "task.options.path is not set; array needs it: str | Path"),
        ("array", {"path": 3}, "task.options.path is 3; expected str | Path"),
        ("series", {"path": "x", "columns": "a"}, "task.options.columns is 'a'; expected list[str] | None"),
        ("retrieval", {"values": 1}, "retrieval.values is 1; it must be at least 2"),
    ],
)
def test_build_says_what_is_wrong(kind: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build(kind, options)


def test_build_reads_plain_values() -> None:
    task = build("copy", {"symbols": "12", "reverse": "true"})
    assert (task.targets.readout_size, task.reverse) == (12, True)  # type: ignore[attr-defined]
    assert build("retrieval").targets.readout_size == 8


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import nounroll.data", ["torch", "sklearn", "datasets", "jsonargparse"]),
        ("from nounroll.data import build; build('text')", ["sklearn", "datasets"]),
    ],
)
def test_importing_is_light(statement: str, unwanted: list[str]) -> None:
    code = f"import sys; {statement}; print([m for m in {unwanted} if m in sys.modules])"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"
