"""The table of docs/sequences.md is that of docs/gaps.json, and gaps cost no more than they may."""

import importlib
import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
MOST = 1.15  # times the error without gaps


def test_the_page_shows_what_was_measured() -> None:
    runs = json.loads((DOCS / "gaps.json").read_text())["runs"]
    page = (DOCS / "sequences.md").read_text()
    assert sorted((run["series"], run["seed"]) for run in runs) == [
        (s, k) for s in ("co2", "sunspots") for k in range(3)
    ]
    for run in runs:
        whole, gaps = run["mase"], run["mase with gaps"]
        assert abs(run["ratio"] - gaps / whole) < 1e-3
        assert run["ratio"] <= MOST
        assert f"| {run['series']} | {run['seed']} | {whole:.3f} | {gaps:.3f} | {run['ratio']:.2f} |" in page


def test_the_benchmark_reads_the_sets_of_the_forecasts() -> None:
    pytest.importorskip("pandas")
    gaps = importlib.import_module("gaps")
    assert {"co2", "sunspots"} <= set(gaps.SETS)
