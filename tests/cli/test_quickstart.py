"""Quickstart, with budgets of a fraction of a second."""

import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import Command, one_line
from nounroll.cli.main import main
from nounroll.cli.terminal import printable

WORDS = ("quickstart", "--seconds-per-run", "0.2", "--length", "8", "--workers", "2")
SMALL = (
    "--set",
    "cell.memory_width=8",
    "--set",
    "cell.width=16",
    "--set",
    "teacher.width=16",
)


class Fork:
    """Stands in for ``Popen``: ``nounroll train`` in a fork of this process, which has torch loaded."""

    def __init__(self, command: list[str], *, env: dict[str, str], **_: Any) -> None:
        assert env["OMP_NUM_THREADS"] == "1"
        words = command[command.index("train") :]
        self.files = [Path(f"{words[-2].replace('/', '-')}.{name}") for name in ("out", "err")]
        self.process = multiprocessing.get_context("fork").Process(target=self._run, args=(words,))
        self.process.start()

    def _run(self, words: list[str]) -> None:
        for number, path in enumerate(self.files, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        status = main([*words, *SMALL])
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)

    def poll(self) -> int | None:
        return self.process.exitcode

    returncode = property(poll)

    def communicate(self) -> tuple[str, str]:
        self.process.join()
        out, error = (path.read_text() for path in self.files)
        return out, error

    def terminate(self) -> None:
        self.process.terminate()

    def wait(self) -> None:
        self.process.join()


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    import lightning_fabric  # noqa: F401

    import nounroll.experiments.run  # noqa: F401

    monkeypatch.setattr("nounroll.cli.job.Popen", Fork)


@pytest.mark.usefixtures("forks")
def test_six_runs_a_table_and_a_text(nounroll: Command) -> None:
    ended = nounroll(*WORDS)
    assert ended.status == 0, ended
    result = json.loads(Path("runs/quickstart/quickstart.json").read_text())
    assert [(row["task"], row["method"], row["cell"]) for row in result["rows"]] == [
        *(("retrieval", method, cell) for method, cell in (("smt+dmt", "mlp"), ("bptt", "mlp"), ("bptt", "gru"))),
        *(("text", method, cell) for method, cell in (("tbptt", "lstm"), ("bptt", "lstm"), ("smt+dmt", "mlp"))),
    ]
    assert result["lengths"] == {"retrieval": 8, "text": 8}
    for row in result["rows"]:
        assert (Path(row["run"]) / "student" / "model.safetensors").is_file()
        assert f"{row['task']}, {row['method']}, {row['cell']}: " in ended.error
        assert f"{row['metrics']['tokens']:,}" in ended.out
    assert len(result["sample"]) > 100
    assert "".join(printable(result["sample"]).split()) in "".join(ended.out.split())


@pytest.mark.usefixtures("forks")
def test_a_former_quickstart_stays_and_a_failure_is_told(nounroll: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs/quickstart").mkdir(parents=True)
    monkeypatch.setattr("nounroll.cli.quickstart.TASKS", {"poker": "accuracy"})
    monkeypatch.setattr("nounroll.cli.quickstart.CONTENDERS", {"poker": (("bptt", "gru"),)})
    monkeypatch.setattr("nounroll.cli.quickstart.LENGTHS", {"poker": 8})
    ended = nounroll(*WORDS)
    last = ended.error.splitlines()[-1]
    assert ended.status == 1
    assert last.startswith("nounroll quickstart: RuntimeError: poker, ")
    assert "task.kind is 'poker'; it must be one of retrieval" in last
    assert not any(Path("runs/quickstart").iterdir())
    assert Path("runs/quickstart-2/poker.yaml").is_file()


@pytest.mark.skipif("NOUNROLL_NIGHTLY" not in os.environ, reason="six processes that load torch")
@pytest.mark.nightly
def test_the_runs_are_processes_of_their_own(nounroll: Command) -> None:
    ended = nounroll(*WORDS, "--json")
    assert len(json.loads(ended.out)["rows"]) == 6


@pytest.mark.parametrize("option", ["--seconds-per-run", "--length", "--workers"])
def test_mistakes(nounroll: Command, option: str) -> None:
    assert f"{option} is 0" in one_line(nounroll("quickstart", option, 0), 2)
    assert not Path("runs").exists()
