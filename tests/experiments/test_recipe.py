"""A recipe is read whole or refused in one line that names the setting, its value and what is allowed."""

import copy
import dataclasses
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bad_recipes import JUNK, leaves
from nounroll.core.notices import Notice
from nounroll.experiments.recipe import Recipe, TaskSettings, load, parse
from nounroll.training.settings import BUDGETS, Budget

LEAST: dict[str, Any] = {"task": {"kind": "parity"}, "length": 8}
MUTATIONS = 300 if "NOUNROLL_NIGHTLY" in os.environ else 75


def test_defaults() -> None:
    recipe = parse(LEAST)
    assert (recipe.name, recipe.method, recipe.task.options) == ("run", "auto", {})
    assert recipe.training.budget == Budget("seconds", 300.0)


def test_the_default_budget_stays_when_other_settings_of_training_are_given() -> None:
    assert parse(LEAST, ["training.seed=3"]).training.budget == Budget("seconds", 300.0)
    assert parse({**LEAST, "training": {"batch_size": 8}}).training.budget == Budget("seconds", 300.0)


@pytest.mark.parametrize(
    ("training", "overrides", "budget"),
    [
        ({"seconds": 9}, [], Budget("seconds", 9.0)),
        ({"steps": 9}, [], Budget("steps", 9)),
        ({"seconds": 9}, ["training.steps=3"], Budget("steps", 3)),
        ({"steps": 9}, ["training.seconds=3"], Budget("seconds", 3.0)),
        ({"steps": 9, "seconds": None}, ["training.seconds=3"], Budget("seconds", 3.0)),
        ({"steps": 9}, ["training.steps=3"], Budget("steps", 3)),
        ({"tokens": 9, "seconds": None}, ["training.seconds=3"], Budget("seconds", 3.0)),
        ({"flops": 9}, ["training.steps=3"], Budget("steps", 3)),
    ],
)
def test_one_budget_takes_the_place_of_the_other(
    training: dict[str, Any], overrides: list[str], budget: Budget
) -> None:
    found = parse({**LEAST, "training": training}, overrides).training.budget
    assert found == budget
    assert type(found.amount) is type(budget.amount)


def test_overrides_reach_every_depth_and_keep_their_types() -> None:
    overrides = ["length=16", "cell.kind=gru", "teacher.width = 64", "cell.width=0", "training.shard=true"]
    overrides += ["training.learning_rate=1e-4"]
    recipe = parse(LEAST, [*overrides, "task.options.path=a=b.txt", "task.options.n=[1, 2]"])
    assert (recipe.length, recipe.cell.kind, recipe.teacher.width, recipe.cell.width) == (16, "gru", 64, 0)
    assert recipe.task.options == {"path": "a=b.txt", "n": [1, 2]}
    assert recipe.training.learning_rate == 1e-4
    assert recipe.training.shard is True


def test_what_is_given_is_not_changed() -> None:
    document = copy.deepcopy({**LEAST, "training": {"seconds": 3}})
    parse(document, ["training.steps=3", "cell.width=8", "task.options.n=1"])
    assert document == {**LEAST, "training": {"seconds": 3}}


def test_yaml_goes_there_and_back(tmp_path: Path) -> None:
    recipe = parse(LEAST, ["name=there", "training.steps=3", "cell.layers=2", "training.weight_decay=1e-5"])
    path = tmp_path / "back.yaml"
    path.write_text(recipe.to_yaml())
    assert load(path) == recipe
    assert parse(recipe.to_dict()) == recipe
    assert yaml.safe_load(recipe.to_yaml()) == recipe.to_dict()


def test_a_file_gives_its_name_to_the_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(LEAST))
    assert load(path).name == "mine"


# -- what was given ----------------------------------------------------------------------------------


def test_a_recipe_knows_what_it_was_given() -> None:
    recipe = parse({**LEAST, "name": "mine", "smt": {"window": 2}}, ["training.steps=3", "cell.kind=gru"])
    assert recipe.given == {"name", "task", "length", "smt.window", "training.steps", "cell.kind"}
    assert recipe.given_to_dict() == {
        "name": "mine",
        "task": {"kind": "parity", "options": {}},
        "length": 8,
        "smt": {"window": 2},
        "training": {"steps": 3},
        "cell": {"kind": "gru"},
    }
    again = parse(recipe.given_to_dict())
    assert again == recipe
    assert again.given == recipe.given


def test_a_recipe_made_in_python_has_all_of_it_given() -> None:
    recipe = Recipe(task=TaskSettings(kind="parity"), length=8)
    assert recipe.given is None
    assert recipe.given_to_dict() == recipe.to_dict()


def test_changes_reach_every_depth_and_count_as_given_or_not() -> None:
    recipe = parse(LEAST, ["training.steps=3"])
    changes = {"length": 4, "smt.window": 2, "smt.noise": 0.5, "training.budget": Budget("steps", 1)}
    assert recipe.given is not None
    for changed, given in (
        (recipe.changed(changes), recipe.given),
        (recipe.with_given(changes), recipe.given | changes.keys()),
    ):
        assert {name: changed.get(name) for name in changes} == changes
        assert changed.given == given
        assert changed.given_to_dict()["training"] == {"steps": changed.training.budget.amount}
    assert recipe.get("length") == 8


def test_a_change_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^smt\.window is 0; it must be at least 1$"):
        parse(LEAST).changed({"smt.window": 0})


@pytest.mark.parametrize(
    ("overrides", "own_cell", "is_open"),
    [
        ([], None, True),
        (["method=bptt", "cell.kind=gru"], None, False),
        (["cell.kind=gru"], None, True),
        (["method=bptt", "cell.kind=auto"], None, True),
        (["method=bptt", "cell.kind=auto"], "a module", False),
        (["method=auto"], "a module", True),
        (["method=transformer", "cell.kind=auto"], None, False),
    ],
)
def test_method_and_cell_are_open_or_not(overrides: list[str], own_cell: object, is_open: bool) -> None:
    assert parse(LEAST, overrides).is_open(own_cell) is is_open


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("length", "--set got 'length'; it takes NAME=VALUE, such as teacher.width=128"),
        ("cell..width=3", "--set got 'cell..width=3'; it takes NAME=VALUE"),
        ("length=null", "length is None; it must be a whole number"),
        ("length=8.0", "length is 8.0; it must be a whole number"),
        ("length=true", "length is True; it must be a whole number"),
        ("length=-1", "length is -1; it must be at least 1"),
        ("name=../up", "name is '../up'; it must be a plain folder name"),
        ("name=..", "name is '..'; it must be a plain folder name"),
        ("name=", "name is None; it must be text"),
        ("cell=gru", "cell is 'gru'; it must be a group of settings"),
        ("cell.kind=brain", "cell.kind is 'brain'; it must be one of auto, mlp, transformer, gru, lstm, elman, tape"),
        ("cell.width=wide", "cell.width is 'wide'; it must be a whole number"),
        ("cell.width=null", "cell.width is None; it must be a whole number"),
        ("task.kind=null", "task.kind is None; it must be text"),
        ("task.options=3", "task.options is 3; it must be a group of names and values"),
        ("training.weight_decay=.inf", "training.weight_decay is inf; it must be finite"),
        ("training.curriculum=false", "training.curriculum is False; it must be a whole number"),
        ("training.budget=3", "training.budget is unknown; training has seconds, steps, tokens, flops"),
        ("given=[length]", "given is unknown; a recipe has name, task, length"),
        ("training.shard=1", "training.shard is 1; it must be true or false"),
        ("teacher.hue=3", "teacher.hue is unknown; teacher has kind, path"),
        ("colour=3", "colour is unknown; a recipe has name, task, length"),
        ("learning_rate=3", "learning_rate is unknown; say dmt.learning_rate or training.learning_rate; a recipe has"),
        ("length.x=3", "length.x cannot be set: length is not a group of settings"),
    ],
)
def test_messages(override: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        parse(LEAST, [override])


@pytest.mark.parametrize("missing", ["task", "length", "task.kind"])
def test_what_has_no_default_is_asked_for(missing: str) -> None:
    document = copy.deepcopy(LEAST)
    group, name = (document["task"], "kind") if missing == "task.kind" else (document, missing)
    del group[name]
    with pytest.raises(ValueError, match=rf"^{missing} is missing; a recipe needs it"):
        parse(document)


# -- mutations ------------------------------------------------------------------------------------

MAY_BE_NULL = {f"training.{name}" for name in BUDGETS}  # the default takes their place


def mutated(recipe: Recipe, random_source: random.Random) -> tuple[dict[str, Any], str]:
    """A recipe with one fault, and the name that the message has to hold."""
    tree = recipe.to_dict()
    *groups, name = random_source.choice(leaves(tree))
    group = tree
    for one in groups:
        group = group[one]
    fault, value = random_source.randrange(4), group[name]
    dotted = ".".join([*groups, name])
    if fault == 0:  # misspelt
        group[name + "s"] = group.pop(name)
        return tree, f"{dotted}s" if dotted not in ("length", "task.kind") else dotted
    if fault == 1 and groups:  # the whole group replaced
        tree[groups[0]] = random_source.choice(["x", 3, [1], None, True])
        return tree, groups[0]
    if fault == 2 and dotted not in MAY_BE_NULL:
        group[name] = None
        return tree, dotted
    group[name] = random_source.choice(JUNK[type(value)])
    return tree, dotted


def test_a_recipe_with_a_fault_is_refused_in_one_line_naming_it() -> None:
    recipe = parse(LEAST, ["training.steps=3"])
    random_source = random.Random(0)
    for _ in range(MUTATIONS):
        tree, name = mutated(recipe, random_source)
        with pytest.raises(ValueError, match=rf"^[^\n]*{re.escape(name)}[^\n]*$"):
            parse(tree)


def test_control_the_recipe_without_a_fault_is_read() -> None:
    recipe = parse(LEAST, ["training.steps=3"])
    assert parse(recipe.to_dict()) == recipe


def test_settings_that_are_fixed_now(tmp_path: Path) -> None:
    """A run's recipe of before has them, at the value of now; another value is unknown, as any name that is gone."""
    file, recipe = tmp_path / "recipe.yaml", parse(LEAST, ["training.steps=3"])
    file.write_text(recipe.to_yaml() + "bptt: {share: 1.0}\n")
    assert load(file) == recipe
    file.write_text(recipe.to_yaml() + "bptt: {share: 0.5}\n")
    with pytest.raises(ValueError, match=r"^bptt is unknown; a recipe has [^\n]+$"):
        load(file)
    for name, fixed, other in (("tbptt.share", 1.0, 0.5), ("teacher.heads", 4, 2)):
        group, _, setting = name.partition(".")
        file.write_text(recipe.to_yaml().replace(f"\n{group}:\n", f"\n{group}:\n  {setting}: {fixed}\n"))
        assert load(file) == recipe
        file.write_text(recipe.to_yaml().replace(f"\n{group}:\n", f"\n{group}:\n  {setting}: {other}\n"))
        with pytest.raises(ValueError, match=rf"^{group}\.{setting} is unknown; {group} has [^\n]+$"):
            load(file)
    file.write_text(recipe.to_yaml().replace("\ntbptt:\n", "\ntbptt:\n  noise: 0.0\n"))
    assert load(file) == recipe
    file.write_text(recipe.to_yaml().replace("\ntbptt:\n", "\ntbptt:\n  noise: 1\n"))
    with pytest.warns(Notice, match=r"^tbptt\.noise is 1; it has no effect any more"):
        assert load(file) == recipe
    for width, fixed in ((256, 4), (8, 2)):
        file.write_text(recipe.to_yaml().replace("  width: 64\n", f"  width: {width}\n  heads: {fixed}\n"))
        assert load(file).teacher.width == width
    file.write_text("task: {kind: parity}\nlength: 8\nteacher: {width: 2000000014}\n")
    assert load(file).teacher.width == 2_000_000_014  # found at once, however wide


# -- how many settings -------------------------------------------------------------------------------

MOST = 55  # more than a person can look through


def settings_of(kind: type[Any], prefix: str = "") -> list[str]:
    """The settings in the groups of a recipe; the budget is one, whatever it is counted in."""
    found = []
    for one in dataclasses.fields(kind):
        if dataclasses.is_dataclass(one.type) and one.name != "budget":
            found += settings_of(one.type, f"{one.name}.")  # type: ignore[arg-type]
        elif prefix:
            found.append(prefix + one.name)
    return found


def test_there_are_few_settings() -> None:
    names = settings_of(Recipe)
    assert len(names) <= MOST, names
    tree = parse(LEAST, ["training.steps=1"]).to_dict()
    written = {f"{group}.{name}" for group, values in tree.items() if isinstance(values, dict) for name in values}
    assert {"training.budget" if name == "training.steps" else name for name in written} == set(names)
