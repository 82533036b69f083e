"""Every test of the command line runs in a folder of its own, with recipes that take a fraction of a second."""

from pathlib import Path

import pytest

from commands import TINY, Command, Ended
from nounroll.cli.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a recipe for parity (tiny), text, digits and series."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOUNROLL_TRACEBACK", raising=False)
    for name, task in {
        "tiny": "{kind: parity}",
        "text": "{kind: text, options: {path: book.txt}}",
        "digits": "{kind: digits}",
        "series": "{kind: series, options: {path: series.csv}}",
    }.items():
        Path(f"{name}.yaml").write_text(f"task: {task}\n{TINY}")
    Path("book.txt").write_text("It was a dark and stormy night. " * 40)
    Path("series.csv").write_text("a,b\n" + "".join(f"{i % 7},{i % 5}.5\n" for i in range(200)))
    return tmp_path


@pytest.fixture
def nounroll(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process."""

    def run(*words: object) -> Ended:
        capsys.readouterr()
        status = main([str(word) for word in words])
        return Ended(status, *capsys.readouterr())

    return run
