"""``nounroll tasks``: what there is, and one of them drawn."""

import inspect
import json

import pytest

from commands import Command, one_line
from nounroll import data
from nounroll.data.stack import Stack

MADE_UP = [
    "retrieval",
    "copy",
    "parity",
    "modular_sum",
    "modular_arithmetic",
    "stack",
    "keys_values",
    "recency_primacy",
]


def test_every_task_and_option_is_listed(nounroll: Command) -> None:
    shown = nounroll("tasks").out
    for kind in data.TASKS:
        assert kind in shown
        assert all(f"{option.name}: {option.type}" in shown for option in data.describe(kind)[1])


def test_one_task_is_drawn(nounroll: Command) -> None:
    assert nounroll("tasks", "--about", "stack").out.split() == (inspect.getdoc(Stack) or "").split()
    (only,) = json.loads(nounroll("tasks", "--about", "stack", "--json").out)["tasks"]
    assert (only["name"], only["documentation"]) == ("stack", inspect.getdoc(Stack))
    assert one_line(nounroll("tasks", "--about", "queue"), 2).startswith(
        "nounroll tasks: task.kind is 'queue'; it must"
    )


@pytest.mark.parametrize("kind", MADE_UP)
def test_a_probe_says_its_picture_its_optimum_and_its_options(kind: str) -> None:
    text = data.document(kind)
    assert "\n    inputs " in text
    assert "\n    targets " in text
    assert "ptimum" in text
    assert "Guessing " in text or "chance" in text
    assert all(f"\n    {option.name}: " in text for option in data.describe(kind)[1])
