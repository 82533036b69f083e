"""What is decided for the data changes on purpose only: the recipes' settings are those of resolved.json."""

import json
from typing import Any

import pytest
from resolved import FILE, RECIPES, resolved

from nounroll.experiments.resolve import PRESETS

KEPT: dict[str, Any] = json.loads(FILE.read_text())
RENEW = "python tests/golden/resolved.py writes it again"


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_a_recipe_is_resolved_as_it_was(name: str) -> None:
    found = resolved(RECIPES / f"{name}.yaml")
    if found is None:
        pytest.skip("its data is not on this machine")
    if name not in KEPT:
        pytest.skip("its data was not on the machine that wrote the file")
    assert json.loads(json.dumps(found)) == KEPT[name], RENEW


def test_the_file_has_recipes_of_each_kind_of_data() -> None:
    assert len(KEPT) >= 12
    assert KEPT.keys() <= {path.stem for path in RECIPES.glob("*.yaml")}, RENEW
    without_recipe = {"few series", "numbers at most steps"}  # of one's own: tests/experiments/test_resolve.py has some
    assert {kind for one in KEPT.values() for kind in one["kinds"]} == PRESETS.keys() - without_recipe


@pytest.mark.parametrize(
    ("preset", "setting", "value"), [("few scored", "smt.labels_learn", 0.25), ("most scored", "smt.window", 4)]
)
def test_control_another_preset_is_seen(
    preset: str, setting: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, preset, {**PRESETS[preset], setting: value})
    changed = [
        name for name, one in KEPT.items() if preset in one["kinds"] and resolved(RECIPES / f"{name}.yaml") != one
    ]
    assert len(changed) >= 3
