"""The table of README.md is that of the files in docs/results/, and every claim of the page has its files."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_readme_says_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    summary = runpy.run_path(str(ROOT / "benchmarks" / "summary.py"))
    shown = (ROOT / "README.md").read_text().split(summary["BEGIN"])[1].split(summary["END"])[0]
    assert shown.splitlines() == summary["table"]()


def test_the_page_of_results_is_that_of_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    page = runpy.run_path(str(ROOT / "benchmarks" / "evidence.py"))["page"]()
    assert (ROOT / "docs" / "results.md").read_text() == page
    assert "**not measured**" not in page
