"""The page of imitation says what its answers say, and experts of POPGym's games play them perfectly."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gymnasium")
from control_page import page
from control_tasks import PROBLEMS

from nounroll.control import collect

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "control"
ANSWERS: list[dict[str, Any]] = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*-seed*.json"))]


def test_the_page_is_that_of_the_answers() -> None:
    assert (FOLDER / "figures.md").read_text() == page(ANSWERS)


def test_control_another_answer_makes_another_page() -> None:
    changed = copy.deepcopy(ANSWERS)
    changed[0]["returns"][0] -= 100
    assert page(changed) != page(ANSWERS)


@pytest.mark.parametrize("name", [name for name, one in PROBLEMS.items() if "popgym" in repr(one.make)])
def test_experts_play_perfectly(name: str) -> None:
    pytest.importorskip("popgym")
    problem = PROBLEMS[name]
    assert collect(problem.make, problem.expert, episodes=2).returns.values == pytest.approx((1.0, 1.0))
    clumsy = collect(problem.make, problem.expert, episodes=2, noise=1.0).returns
    assert clumsy.mean < 0.5
