"""The pages on adaptation show what was measured, and twenty tasks cost what they may."""

import json
from pathlib import Path

import adaptation
import heads

FOLDER = Path(__file__).parents[2] / "docs" / "adapt"
MOST = 1.5  # times one network


def test_the_page_shows_the_answers() -> None:
    answers = [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*-seed*.json"))]
    assert (FOLDER / "figures.md").read_text() == adaptation.page(answers)


def test_twenty_tasks_take_little_more_than_one_network() -> None:
    found = json.loads((FOLDER / "heads.json").read_text())
    assert (FOLDER / "heads.md").read_text() == heads.page(found)
    assert len(found["heads"]["accuracy"]) == 20
    for measure, of in {"weights": "learnt", "bytes of files": "learnt", "numbers": "one", "peak": "one"}.items():
        assert found["heads"][measure] <= MOST * found[of][measure], measure
