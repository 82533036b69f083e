"""The measurement of methods side by side on text, and its page."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import suite_jobs
import text
import text_page
from suite_run import write
from tuning import Budget

BUDGETS = [Budget("seconds", 60), Budget("tokens", 2_000_000)]


def answer(contender: str, seed: int, bits: float, budget: Budget = BUDGETS[0], **changes: Any) -> dict[str, Any]:
    tried = {"0.003": [2.0, 1.4, 900], "0.006": [1.9, 1.3, 900]} if seed == 0 else {"0.006": [1.9, 1.3, 900]}
    return {
        "task": "text", "title": "about text", "group": "", "contender": contender, "seed": seed, **budget.named,
        "measure": "bits per byte", "better": "lower", "margin": 0.03, "floor": 0.0, "validation": bits,
        "scores": {"bits per byte": bits}, "cpu_seconds": 190.5, "steps": 1000 + seed, "rate": 0.006, "tried": tried,
        "spent": {"tokens": 1024 * (1000 + seed), "seconds": 60.2}, "commit": "abc", "date": "2026-01-01",
        "machine": "2 cores", "command": f"python benchmarks/suite_run.py text {contender}", **changes,
    }  # fmt: skip


def put(folder: Path, *answers: dict[str, Any], budget: Budget = BUDGETS[0]) -> None:
    for one in answers:
        name = f"text-{one['contender'].replace('/', '-')}-seed{one['seed']}.json"
        write(one, folder / budget.folder / name)


def page(folder: Path) -> str:
    text_page.write_page(folder, folder / "text.md", BUDGETS, text.CONTENDERS)
    return (folder / "text.md").read_text()


def test_the_page_has_a_table_for_each_budget(tmp_path: Path) -> None:
    bits = {"lstm": (1.85, 1.86, 1.84), "tbptt/lstm": (1.80, 1.81, 1.83), "smt+dmt/gru": (2.2, 2.1, 2.3)}
    put(tmp_path, *(answer(c, s, v) for c, three in bits.items() for s, v in enumerate(three)))
    put(tmp_path, answer("bptt/gru", 0, 1.9, BUDGETS[1], tokens=2_000_000), budget=BUDGETS[1])
    seconds, tokens = page(tmp_path).split("## At ")[1:]
    assert seconds.startswith("60 CPU seconds\n")
    assert "**`tbptt/lstm`** is best, with 1.810 [1.830] bits per byte; level with it: nn.LSTM." in seconds
    lines = [line for line in seconds.splitlines() if line.startswith("| ")][2:]
    assert [line.split(" | ")[0] for line in lines] == ["| `smt+dmt/gru`", "| `tbptt/lstm`", "| nn.LSTM"]
    assert lines[1] == ("| `tbptt/lstm` | 0.006 (of 0.003, 0.006) | 1.810 [1.830] | 1,001 | 1,025,024 | 60 |")
    assert tokens.startswith("2,000,000 tokens\n")
    assert "**`bptt/gru`** is best, with 1.900 (1 seed) bits per byte; no other is level with it." in tokens
    assert tokens.count("`python benchmarks/suite_run.py text") == 4
    assert "(commit abc, 2026-01-01, 2 cores)" in tokens


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    assert page(tmp_path).count("Nothing has been measured yet.") == 2


def test_the_page_is_that_of_its_files() -> None:
    budgets = [Budget("seconds", text.SECONDS), Budget("tokens", text.TOKENS)]
    assert text.PAGE.read_text() == text_page.text(text.ANSWERS, budgets, text.CONTENDERS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tbptt"], "contender is 'tbptt'; it must be one of smt+dmt/gru, smt+dmt/lstm, tbptt/gru"),
        (["--tokens", "0"], "tokens is 0; it must be more than 0"),
        (["--seconds", "-1"], "seconds is -1; it must be more than 0"),
        (["--seeds", "0"], "--seeds is 0; it must be at least 1"),
        (["--jobs", "0"], "--jobs is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suite_jobs, "run", lambda job: pytest.fail("something was run"))
    monkeypatch.setattr(sys, "argv", ["text.py", *words])
    assert text.main() == 2
    error = capsys.readouterr().err
    assert error.startswith(said)
    assert error.count("\n") == 1


def test_eight_contenders_run_under_both_budgets_first_seeds_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(tmp_path, answer("tbptt/lstm", 0, 1.8))
    started: list[suite_jobs.Job] = []
    monkeypatch.setattr(suite_jobs, "run", lambda job: started.append(job) or True)
    words = "text.py --seeds 2 --jobs 1 --seconds 60 --tokens 2000000 --out"
    monkeypatch.setattr(sys, "argv", [*words.split(), str(tmp_path)])
    assert text.main() == 0
    assert len({job.contender for job in started}) == 8
    assert len({job.file for job in started}) == len(started) == 8 * 2 * 2 - 1
    assert [job.seed for job in started] == [0] * 15 + [1] * 16
    assert {str(job.budget) for job in started} == {"60 CPU seconds", "2,000,000 tokens"}
    assert (tmp_path / "text.md").is_file()


def test_later_seeds_take_the_rate_that_the_first_chose_under_their_budget(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for budget, rate in zip(BUDGETS, (0.003, 0.012), strict=True):
        put(tmp_path, answer("tbptt/lstm", 0, 1.8, budget, rate=rate), budget=budget)
    started: list[list[str]] = []

    def start(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        started.append(words[2:])
        write(answer("tbptt/lstm", 1, 1.8), text.ROOT / words[6])
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(suite_jobs.subprocess, "run", start)
    for budget in BUDGETS:
        assert suite_jobs.run(suite_jobs.Job("text", "tbptt/lstm", 1, budget, tmp_path / budget.folder))
    assert [words[:4] for words in started] == [
        ["text", "tbptt/lstm", "1", "60"],
        ["text", "tbptt/lstm", "1", "2000000"],
    ]
    assert [words[5:] for words in started] == [["--rate", "0.003"], ["--unit", "tokens", "--rate", "0.012"]]


@pytest.mark.parametrize("contender", ["tbptt/lstm", "lstm"])
@pytest.mark.nightly
def test_a_run_of_tokens_tells_its_rate_and_what_it_took(contender: str, tmp_path: Path) -> None:
    script, file = Path(text.__file__).with_name("suite_run.py"), tmp_path / "answer.json"
    words = [sys.executable, str(script), "text", contender, "0", "2000", str(file), "--unit", "tokens"]
    ended = subprocess.run(words, text=True, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(file.read_text())
    assert found["tokens"] == 2000
    assert (found["steps"], found["spent"]["tokens"]) == (2, 2048)
    assert 0 < found["spent"]["seconds"] < found["cpu_seconds"]
    assert len(found["tried"]) == 3
    assert f"{found['rate']:g}" in found["tried"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sgd/gru", "0", "100"], "text, sgd/gru: method is 'sgd'; it must be a chain of smt, dmt, tbptt, bptt"),
        (["lstm", "0", "0"], "text, lstm: seconds is 0; it must be more than 0"),
    ],
)
def test_a_run_that_cannot_be_is_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    script = Path(text.__file__).with_name("suite_run.py")
    ended = subprocess.run(
        [sys.executable, str(script), "text", *words, str(tmp_path / "answer.json")],
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith(said)
    assert ended.stderr.count("\n") == 1
