"""The tables of README.md are those of the files in docs/, and every claim of the page of results has its files."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["suite", "methods"])
def test_the_readme_says_what_was_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    summary = runpy.run_path(str(ROOT / "benchmarks" / "summary.py"))
    lines = summary["TABLES"][name]()
    assert len(lines) > 3
    assert summary["shown"](name, (ROOT / "README.md").read_text()) == "\n".join(lines).splitlines()


def test_the_page_of_results_is_that_of_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    page = runpy.run_path(str(ROOT / "benchmarks" / "evidence.py"))["page"]()
    assert (ROOT / "docs" / "results.md").read_text() == page
    assert "**not measured**" not in page
