"""The measurement of the five probes by method and cell, and its page."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import probes
import probes_page
import pytest
import suite_jobs
from suite_run import ROOT, write

CHEAP = [[10.0, 1000, 1e6, 10, 0.2], [20.0, 2000, 2e6, 20, 0.9]]  # seconds, tokens, sequential FLOPs, steps, accuracy
DEAR = [[10.0, 1500, 8e6, 15, 0.4], [20.0, 3000, 16e6, 30, 0.95]]


def put(folder: Path, contender: str, curve: list[list[float]], score: float, seed: int = 0, **changes: Any) -> None:
    answer = {
        "task": "retrieval-64", "contender": contender, "seed": seed, "seconds": 20.0, "rate": 0.002, "curve": curve,
        "scores": {"accuracy": score}, "loss": 0.1, "tried": {"0.002": score}, "commit": "abc", "date": "2026-01-01",
        "machine": "2 cores", "command": f"python benchmarks/probes_run.py retrieval-64 {contender}", **changes,
    }  # fmt: skip
    write(answer, folder / f"{answer['task']}-{contender.replace('/', '-')}-seed{seed}.json")


def test_methods_are_compared_at_an_equal_amount_of_each_axis(tmp_path: Path) -> None:
    put(tmp_path, "smt+dmt/mlp", CHEAP, 0.91)
    put(tmp_path, "bptt/mlp", DEAR, 0.96)
    (group,) = probes_page.read(tmp_path)
    assert group.scores("bptt", "seconds") == [0.96]  # after the whole budget, on the test part
    assert group.scores("bptt", "tokens") == [0.4]  # the cheaper one ended at 2,000
    assert group.scores("bptt", "sequential_flops") == [0.0]  # it had not been measured by 2e6
    assert group.scores("smt+dmt", "sequential_flops") == [0.9]
    assert [round(gap, 2) for axis in probes_page.AXES if (gap := group.ahead(axis)) is not None] == [-0.05, 0.5, 0.9]


def test_the_page_counts_where_smt_is_ahead_and_behind(tmp_path: Path) -> None:
    put(tmp_path, "smt+dmt/mlp", CHEAP, 0.91)
    put(tmp_path, "bptt/mlp", DEAR, 0.96)
    put(tmp_path, "bptt/mlp", DEAR, 0.94, seed=1)
    put(tmp_path, "bptt/gru/whole", DEAR, 0.96)
    probes_page.write_page(tmp_path, tmp_path / "probes.md")
    page = (tmp_path / "probes.md").read_text()
    assert "| CPU seconds | mlp | 0 | 0 | 1 |" in page
    assert "| sequential FLOPs | mlp | 1 | 0 | 0 |" in page
    assert "| 64 | mlp | bptt | 0.002 of 1 | **0.950** [0.940] | 0.400 [0.400] |" in page
    assert page.index("Without the length curriculum:") < page.index("| 64 | gru | bptt |")
    assert (tmp_path / "retrieval.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    assert probes_page.text(tmp_path).endswith("Nothing has been measured yet.\n")


def test_the_page_is_that_of_its_files() -> None:
    assert probes.PAGE.read_text() == probes_page.text(probes.ANSWERS)


def test_a_later_seed_takes_the_rate_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["probes.py", "stack", "--cells", "mlp", "--methods", "bptt", "--seeds", "2"])
    options = probes.parsed()
    options.folder = tmp_path
    runs = probes.planned(options)
    assert len(runs) == 12  # three lengths, with the curriculum and without, two seeds
    first, second = runs[:2]
    assert first.words[-2:] == ["--rate", probes.RATES]
    assert "--rate" not in second.words
    put(tmp_path, "bptt/mlp", CHEAP, 0.5, task="stack-32", rate=0.004)
    started: list[list[str]] = []

    def end(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        started.append(words)
        return subprocess.CompletedProcess(words, 1, "", "it ends here")

    monkeypatch.setattr(subprocess, "run", end)
    assert not suite_jobs.run(second)
    assert started[0][-2:] == ["--rate", "0.004"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["adding"], "probe is 'adding'; it must be one of retrieval, copy, stack, keys_values, modular_arithmetic"),
        (["--cells", "lstm"], "--cells is 'lstm'; it must be one of mlp, transformer, gru"),
        (["--lengths", "4"], "--lengths is '4'; it must be one of 1, 2, 3"),
        (["--seconds-scale", "0"], "--seconds-scale is 0; it must be more than 0"),
    ],
)
def test_a_part_that_is_unknown_is_one_line(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suite_jobs, "run", lambda job: pytest.fail("something was run"))
    monkeypatch.setattr(sys, "argv", ["probes.py", *words])
    assert probes.main() == 2
    assert capsys.readouterr().err.strip() == said


@pytest.mark.nightly
def test_a_run_keeps_its_curve(tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    words = [sys.executable, str(ROOT / "benchmarks" / "probes_run.py"), "copy-16", "bptt/gru", "0", "2", str(file)]
    done = subprocess.run([*words, "--rate", "0.001,0.002"], text=True, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    answer = json.loads(file.read_text())
    assert set(answer["tried"]) == {"0.001", "0.002"}
    columns = list(zip(*answer["curve"], strict=True))
    assert len(columns) == 5
    assert all(list(column) == sorted(column) for column in columns)
    assert answer["scores"]["accuracy"] > 0.05
