"""A recipe is read whole or refused in one line that names the setting, its value and what is allowed."""

import copy
import dataclasses
import os
import random
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from bad_recipes import JUNK, leaves
from nounroll.recipe import Recipe, load, parse

LEAST: dict[str, Any] = {"task": {"kind": "parity"}, "length": 8}
MUTATIONS = 300 if "NOUNROLL_NIGHTLY" in os.environ else 75


def test_defaults() -> None:
    recipe = parse(LEAST)
    assert (recipe.name, recipe.method, recipe.task.options) == ("run", "smt+dmt", {})
    assert (recipe.training.seconds, recipe.training.steps) == (300.0, None)


def test_the_default_budget_stays_when_other_settings_of_training_are_given() -> None:
    assert parse(LEAST, ["training.seed=3"]).training.seconds == 300.0
    assert parse({**LEAST, "training": {"batch_size": 8}}).training.seconds == 300.0


@pytest.mark.parametrize(
    ("training", "overrides", "budget"),
    [
        ({"seconds": 9}, [], (9.0, None)),
        ({"steps": 9}, [], (None, 9)),
        ({"seconds": 9}, ["training.steps=3"], (None, 3)),
        ({"steps": 9}, ["training.seconds=3"], (3.0, None)),
        ({"steps": 9, "seconds": None}, ["training.seconds=3"], (3.0, None)),
        ({"steps": 9}, ["training.steps=3"], (None, 3)),
        ({"tokens": 9, "seconds": None}, ["training.seconds=3"], (3.0, None)),
        ({"flops": 9}, ["training.steps=3"], (None, 3)),
    ],
)
def test_one_budget_takes_the_place_of_the_other(training: dict[str, Any], overrides: list[str], budget: Any) -> None:
    recipe = parse({**LEAST, "training": training}, overrides)
    assert (recipe.training.seconds, recipe.training.steps) == budget


def test_overrides_reach_every_depth_and_keep_their_types() -> None:
    overrides = ["length=16", "cell.kind=gru", "teacher.width = 64", "cell.width=null", "training.compile=true"]
    overrides += ["training.learning_rate=1e-4", "training.betas=[0.8, 0.9]"]
    recipe = parse(LEAST, [*overrides, "task.options.path=a=b.txt", "task.options.n=[1, 2]"])
    assert (recipe.length, recipe.cell.kind, recipe.teacher.width, recipe.cell.width) == (16, "gru", 64, None)
    assert recipe.task.options == {"path": "a=b.txt", "n": [1, 2]}
    assert (recipe.training.learning_rate, recipe.training.betas) == (1e-4, (0.8, 0.9))
    assert recipe.training.compile is True


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
        ("cell.kind=brain", "cell.kind is 'brain'; it must be one of mlp, transformer, gru, lstm, elman, tape, mingru"),
        ("cell.width=wide", "cell.width is 'wide'; it must be a whole number or null"),
        ("task.kind=null", "task.kind is None; it must be text"),
        ("task.options=3", "task.options is 3; it must be a group of names and values"),
        ("training.betas=[1]", "training.betas is [1]; it must be a list of 2: a number, a number"),
        ("training.betas=[.nan, 1]", "training.betas is [nan, 1]; it must be finite"),
        ("training.clip=.inf", "training.clip is inf; it must be finite"),
        ("training.compile=1", "training.compile is 1; it must be true or false"),
        ("training.seconds=null", "training.seconds is None and training.steps is None and training.tokens is"),
        ("teacher.hue=3", "teacher.hue is unknown; teacher has kind, width"),
        ("colour=3", "colour is unknown; a recipe has name, task, length"),
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

MAY_BE_NULL = {
    f"{group.name}.{one.name}"
    for group in dataclasses.fields(Recipe)
    if dataclasses.is_dataclass(group.type)
    for one in dataclasses.fields(group.type)
    if type(None) in get_args(one.type)
}


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
    kind = type(value) if value is not None else float  # what is no number is no whole number
    group[name] = random_source.choice(JUNK[kind])
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
