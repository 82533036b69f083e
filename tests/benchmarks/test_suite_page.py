"""The runner of the everyday suite and its page."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import suite
import suite_jobs
import suite_page
from suite_run import OURS, write
from tuning import Budget


def answer(task: str, contender: str, seed: int, value: float, **changes: Any) -> dict[str, Any]:
    told = (
        {"chosen": {"method": "bptt", "cell": "lstm", "reason": "tried"}}
        if contender == OURS
        else {"rate": 0.003, "tried": {}}
    )
    return {
        "task": task, "title": f"about {task}", "group": "", "contender": contender, "seed": seed, "seconds": 60,
        "measure": "accuracy", "better": "higher", "margin": 0.01, "floor": 0.0, "validation": value,
        "scores": {"accuracy": value}, "cpu_seconds": 60.5, "steps": 1234, "commit": "abc", "date": "2026-01-01",
        "machine": "2 cores", "command": f"python benchmarks/suite_run.py {task}", **told, **changes,
    }  # fmt: skip


def put(folder: Path, *answers: dict[str, Any]) -> None:
    for one in answers:
        write(one, folder / f"{one['task']}-{one['contender']}-seed{one['seed']}.json")


def test_the_page_is_made_from_the_answers(tmp_path: Path) -> None:
    values = {OURS: (0.95, 0.97, 0.91), "lstm": (0.9, 0.92, 0.8), "gru": (0.93, 0.935, 0.94)}
    put(tmp_path, *(answer("digits", c, s, v) for c, three in values.items() for s, v in enumerate(three)))
    suite_page.write_page(tmp_path, tmp_path / "suite.md")
    page = (tmp_path / "suite.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("| **digits**"))
    assert "0.950 [0.910] | 0.900 [0.800] | *0.935 [0.930]* | **ahead**" in line
    assert "**1 ahead**, **0 level**, **0 behind**" in page
    assert "| digits | 0 | bptt | lstm | tried | 1,234 | 60 |" in page
    assert "learning rate 0.003" in page
    assert "at-a-glance.png" in page
    assert (tmp_path / "at-a-glance.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("value", "verdict"), [(0.0002, "level"), (0.5, "behind"), (0.00003, "level")])
def test_an_error_below_its_floor_counts_as_solved(tmp_path: Path, value: float, verdict: str) -> None:
    more: dict[str, Any] = {"measure": "mean squared error", "better": "lower", "margin": 0.03, "floor": 2e-4}
    for contender, one in ((OURS, value), ("lstm", 1e-5)):
        put(tmp_path, answer("adding-100", contender, 0, one, scores={"mean squared error": one}, **more))
    assert suite_page.read(tmp_path)[0].verdict == verdict


def test_a_task_without_a_rival_is_open(tmp_path: Path) -> None:
    put(tmp_path, answer("parity", OURS, 0, 1.0, scores={"accuracy": 1.0, "accuracy at 512": 0.75}))
    suite_page.write_page(tmp_path, tmp_path / "suite.md")
    page = (tmp_path / "suite.md").read_text()
    assert "1 open" in page
    assert "parity, accuracy at 512: nounroll 0.750 (1 seed)" in page


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    suite_page.write_page(tmp_path, tmp_path / "suite.md")
    assert "Nothing has been measured yet" in (tmp_path / "suite.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digit"], "task is 'digit'; it must be one of adding-100"),
        (["parity", "--rivals", "lstm,rnn"], "rival is 'rnn'; it must be one of lstm, gru"),
        (["parity", "--seconds-scale", "0"], "--seconds-scale is 0; it must be more than 0"),
    ],
)
def test_an_unknown_task_or_rival_is_one_line(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["suite.py", *words])
    assert suite.main() == 2
    error = capsys.readouterr().err
    assert error.startswith(said)
    assert error.count("\n") == 1


def test_a_missing_rival_is_one_line_before_anything_is_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mambapy.mamba", None)
    monkeypatch.setattr(suite_jobs, "run", lambda job: pytest.fail("something was run"))
    monkeypatch.setattr(sys, "argv", ["suite.py", "parity", "--rivals", "lstm,mamba", "--out", str(tmp_path)])
    assert suite.main() == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_has_an_answer_is_not_run_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(tmp_path, answer("parity", OURS, 0, 1.0), answer("parity", "lstm", 1, 1.0))
    run: list[str] = []
    monkeypatch.setattr(suite_jobs, "run", lambda job: run.append(job.file.stem) or True)
    words = ["suite.py", "parity", "--rivals", "lstm", "--seeds", "2", "--jobs", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    assert suite.main() == 0
    assert run == ["parity-ours-seed1", "parity-lstm-seed0"]
    run.clear()
    monkeypatch.setattr(sys, "argv", [*words, "--again"])
    assert suite.main() == 0
    assert run == ["parity-ours-seed0", "parity-ours-seed1", "parity-lstm-seed0", "parity-lstm-seed1"]


def test_later_seeds_of_a_rival_take_the_rate_of_the_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(tmp_path, answer("parity", "lstm", 0, 1.0, rate=0.01))
    started: list[list[str]] = []

    def start(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        started.append(words)
        put(tmp_path, answer("parity", "lstm", 1, 1.0))
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(suite_jobs.subprocess, "run", start)
    assert suite_jobs.run(suite_jobs.Job("parity", "lstm", 1, Budget("seconds", 60), tmp_path))
    assert started[0][-2:] == ["--rate", "0.01"]
    assert not suite_jobs.run(suite_jobs.Job("parity", "gru", 1, Budget("seconds", 60), tmp_path))


@pytest.mark.parametrize("contender", [OURS, "lstm"])
@pytest.mark.nightly
def test_a_run_answers_with_a_score_and_where_it_was_had(contender: str, tmp_path: Path) -> None:
    script, file = Path(suite.__file__).with_name("suite_run.py"), tmp_path / "answer.json"
    words = [sys.executable, str(script), "parity", contender, "0", "0.3", str(file)]
    ended = subprocess.run(words, text=True, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(file.read_text())
    assert found["seconds"] == 0.3
    assert set(found["scores"]) == {"accuracy", "accuracy at 512"}
    assert 0 <= found["validation"] <= 1
    assert found["command"].startswith("python benchmarks/suite_run.py parity")
    assert found["commit"]
    assert found["chosen" if contender == OURS else "rate"]


def test_the_page_is_that_of_its_files() -> None:
    assert suite.PAGE.read_text() == suite_page.page_text(suite.ANSWERS, suite.PAGE)
