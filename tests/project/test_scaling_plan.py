"""The table of docs/scaling.md is what its command counts."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.nightly
def test_the_first_row_is_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = runpy.run_path(str(ROOT / "benchmarks" / "scaling_plan.py"))
    family = plan["FAMILY"]
    names = list(family)
    for name in names[1:]:
        monkeypatch.delitem(family, name)
    counted = plan["table"]()
    page = (ROOT / "docs" / "scaling.md").read_text().split(plan["BEGIN"])[1].split(plan["END"])[0].splitlines()
    assert page[:3] == counted
    assert [row.split(" | ")[0] for row in page[2:]] == [f"| {name}" for name in names]
