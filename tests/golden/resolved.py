"""What is decided for the data of each recipe in recipes/, as one file: resolved.json, beside this one.

python tests/golden/resolved.py     writes it again; look at what changed before you keep it
"""

import json
from pathlib import Path
from typing import Any

from nounroll import data
from nounroll.experiments.auto import candidates
from nounroll.experiments.recipe import load
from nounroll.experiments.resolve import resolve

FILE = Path(__file__).with_suffix(".json")
RECIPES = Path(__file__).parents[2] / "recipes"


def resolved(path: Path) -> dict[str, Any] | None:
    """A recipe's settings, why they are so, and what auto tries; None where its data is not on this machine."""
    recipe = load(path)
    try:
        task = data.build(recipe.task.kind, recipe.task.options)
    except ValueError:
        return None
    found = resolve(recipe, task)
    document = found.to_dict()
    facts = {name: document["facts"][name] for name in ("at_end", "lengths", "next_input", "endless")}
    return {
        "kinds": found.facts.kinds,
        "facts": facts,  # but for figures, which may change with the data's version
        "stages": document["stages"],
        "reasons": document["reasons"],
        "candidates": [" ".join(p) for p in candidates(found.recipe, found.facts, None)]
        if found.recipe.is_open()
        else [],
        "recipe": found.recipe.to_dict(),
    }


def every() -> dict[str, Any]:
    """By the names of the recipes."""
    found = {path.stem: resolved(path) for path in sorted(RECIPES.glob("*.yaml"))}
    return {name: one for name, one in found.items() if one is not None}


if __name__ == "__main__":
    FILE.write_text(json.dumps(every(), indent=1) + "\n")
