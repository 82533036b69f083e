"""A setting out of its range is refused in one line that names it, its value and what is allowed."""

import dataclasses
import math
import re
from typing import Any

import pytest
import yaml

from commands import TINY
from nounroll.cells.base import CellSettings
from nounroll.core.ranges import at_least, more_than, within
from nounroll.experiments.recipe import Recipe, parse
from nounroll.methods import AdaptSettings, DMTSettings, SMTSettings, TBPTTSettings
from nounroll.teacher import TeacherSettings
from nounroll.training.settings import BUDGETS, Budget, TrainingSettings
from out_of_range import OUT_OF_RANGE, override

DOCUMENT = {"task": {"kind": "parity"}, **yaml.safe_load(TINY)}
GROUPS: dict[str, Any] = {
    "cell": CellSettings,
    "teacher": TeacherSettings,
    "smt": SMTSettings,
    "dmt": DMTSettings,
    "tbptt": TBPTTSettings,
    "adapt": AdaptSettings,
    "training": TrainingSettings,
}
NEEDED: dict[str, dict[str, Any]] = {"training": {"budget": Budget("steps", 1)}}  # what a group has no default for
ANY_NUMBER = {"training.seed"}


def numbers(kind: Any, *types: type) -> list[str]:
    """The settings of a group that are numbers of these types."""
    return [one.name for one in dataclasses.fields(kind) if one.type in types]


@pytest.mark.parametrize(("setting", "value", "allowed"), OUT_OF_RANGE)
def test_a_recipe_with_a_value_out_of_range(setting: str, value: object, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'{setting} is {value}; {allowed}')}$"):
        parse(DOCUMENT, [override(setting, value)])


def test_the_table_knows_every_number_of_a_recipe() -> None:
    names = {f"{group}.{name}" for group, kind in GROUPS.items() for name in numbers(kind, int, float)}
    names |= set(numbers(Recipe, int, float)) | {f"training.{budget}" for budget in BUDGETS}
    assert names - ANY_NUMBER == {setting for setting, _, _ in OUT_OF_RANGE}


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group, kind in GROUPS.items() for name in numbers(kind, float)]
)
def test_not_a_number_is_out_of_every_range(group: str, name: str) -> None:
    """From Python; a recipe's numbers are finite."""
    with pytest.raises(ValueError, match=rf"^{group}\.{name} is nan; [^\n]+$"):
        GROUPS[group](**NEEDED.get(group, {}), **{name: math.nan})


@pytest.mark.parametrize("kind", BUDGETS)
def test_not_a_number_is_no_budget(kind: str) -> None:
    with pytest.raises(ValueError, match=rf"^training\.{kind} is nan; it must be more than 0$"):
        Budget(kind, math.nan)


def test_the_least_and_the_most_that_are_allowed() -> None:
    least = ["smt.decoding=0", "smt.dynamics=0", "smt.uniformity=0", "smt.step_readout=0", "smt.noise=0"]
    least += ["smt.window=1", "smt.transitions=0", "smt.chunk=0"]
    least += ["dmt.window=1", "tbptt.window=1"]
    least += ["cell.tokens=1", "cell.memory_width=1", "cell.width=0", "cell.layers=0", "cell.keep=0"]
    least += ["teacher.width=2", "teacher.layers=1", "teacher.decoder_layers=0"]
    least += ["teacher.horizon=0", "length=1", "readout_width=0"]
    least += ["training.weight_decay=0", "training.steps=1", "training.batch_size=1", "training.accumulate=1"]
    least += ["training.evaluations=1", "training.patience=0", "training.curriculum=0"]
    parse(DOCUMENT, [*least, "smt.labels_learn=0", "dmt.dynamics=0"])
    parse(DOCUMENT, [*least, "smt.labels_learn=1", "dmt.dynamics=1", "dmt.decoding=0"])


def test_dmt_needs_a_part_of_its_teacher() -> None:
    with pytest.raises(ValueError, match=r"^dmt\.dynamics is 0 and dmt\.decoding is 0; without the teacher it is"):
        parse(DOCUMENT, ["dmt.dynamics=0", "dmt.decoding=0"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seconds": 1.0, "steps": 10}, "training.seconds is 1.0 and training.steps is 10; give exactly one of them"),
        (
            {"tokens": 3, "flops": 1e9},
            "training.tokens is 3 and training.flops is 1000000000.0; give exactly one of them",
        ),
        (
            {},
            "training.seconds is None and training.steps is None and training.tokens is None and training.flops is None"
            " and training.sequential_flops is None; give exactly one of them",
        ),
    ],
)
def test_one_budget_and_no_more(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        Budget.from_names(given)


def test_the_default_budget_takes_the_place_of_none() -> None:
    default = Budget("seconds", 9.0)
    assert Budget.from_names({}, default) == Budget.from_names({"steps": None}, default) == default
    assert Budget.from_names({"steps": 3}, default) == Budget("steps", 3)


def test_a_part_of_a_budget_is_whole_where_it_counts() -> None:
    assert Budget("steps", 10).part(0.25) == Budget("steps", 2)
    assert Budget("steps", 10).part(0.01) == Budget("steps", 1)
    assert Budget("seconds", 10).part(0.25) == Budget("seconds", 2.5)
    assert Budget("tokens", 3).to_dict() == {"tokens": 3}


def test_bounds() -> None:
    for value in (1, 1.5, math.inf):
        at_least("a", value, 1)
    for value in (0.1, math.inf):
        more_than("a", value, 0)
    for value in (0, 0.5, 1):
        within("a", value, 0, 1)
    for check, value, bounds, allowed in (
        (at_least, 0.5, (1,), "at least 1"),
        (more_than, 0, (0,), "more than 0"),
        (within, -1, (0, 1), "within 0 and 1"),
        (within, 2, (0, 1), "within 0 and 1"),
        (within, math.nan, (0, 1), "within 0 and 1"),
    ):
        with pytest.raises(ValueError, match=f"^a.b is {value}; it must be {allowed}$"):
            check("a.b", value, *bounds)
